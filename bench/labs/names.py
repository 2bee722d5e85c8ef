"""Names within a lab are fixed: endpoints a, b, c …, the node between them, the far node behind a bond or trunk.

MAC addresses are fixed too, so that two labs of one Topology have equal facts.
"""

from bench.labs.lab import ENDS

NODE, FAR = "node", "far"
_MAC_OF = {"br0": "01", "bond0": "02"}


def mac(host: str, device: str) -> str:
    """02:00:5e:00:00:0a of endpoint a, …:01:0a of its port, …:01:01 of the node's bridge, …:02:… on the far side."""
    if host in ENDS:
        return f"02:00:5e:00:00:{0x0A + ENDS.index(host):02x}"
    if device.startswith("port-"):
        return f"02:00:5e:00:01:{0x0A + ENDS.index(device[-1]):02x}"
    side = "02" if host == FAR else "01"
    last = _MAC_OF.get(device) or f"{0x20 + int(device.removeprefix('leg-')):02x}"
    return f"02:00:5e:00:{side}:{last}"
