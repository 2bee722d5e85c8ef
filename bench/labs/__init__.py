"""Labs: a Topology as data, a standing Lab made of it, the Lease that makes it removable by anyone at any time."""
