"""Rate, delay, loss and reordering of a port, as lines of `tc -batch`."""

from bench.labs.topology import Shape

_TBF_WAIT = "50ms"  # that a packet may wait in the shaper's own queue
_TBF_LEAST_BURST = 32 * 1024  # bytes; below, one timer tick holds less than the rate at 50 Mbit/s
_NETEM_LIMIT = 100_000  # packets on their way in a delay; the default of 1000 drops above 1.2 Gbit/s at 10 ms


def lines(shape: Shape, port: str) -> list[str]:
    """What leaves by a port towards its endpoint; nothing for a shape that is none."""
    made, parent = [], "root"
    if shape.rate_mbit:
        burst = max(
            _TBF_LEAST_BURST, round(shape.rate_mbit * 1e6 / 8 * 0.004)
        )  # what arrives in 4 ms, one tick at 250 Hz
        made.append(
            f"qdisc add dev {port} root handle 1: tbf rate {shape.rate_mbit:g}mbit burst {burst} latency {_TBF_WAIT}"
        )
        parent = "parent 1:1"
    if shape.emulated:
        words = [f"limit {_NETEM_LIMIT}"]
        words += [f"delay {shape.delay_ms:g}ms"] if shape.delay_ms else []
        words += [f"loss {shape.loss_pct:g}%"] if shape.loss_pct else []
        words += [f"reorder {shape.reorder_pct:g}%"] if shape.reorder_pct else []
        made.append(f"qdisc add dev {port} {parent} handle 2: netem {' '.join(words)}")
    return made
