"""A rate that reached what it was held to, told by a flag. Pure."""

_REACHED = 0.95  # of the limit (measured: paced goodput lies within 0.98 and 1.002 of it)


def flags(name: str, reached_bps: float, most_bps: float) -> tuple[str, ...]:
    """The flag of a rate that reached what it was held to: it says nothing of what the path can carry."""
    if not most_bps or reached_bps < _REACHED * most_bps:
        return ()
    return (f"{name}: capped at {most_bps / 1e6:.4g} Mbit/s",)
