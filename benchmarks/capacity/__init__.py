"""How `capacity` holds on paths whose truth is known: forecasts of curves, and rate searches against bisection.

`forecast`: from three trials each of 1 … 6 pairs, 8, 10 and 12 are forecast; goals: median absolute error ≤ 10 %, and
the 95 % interval holds ≥ 90 % of single trials there, over all curves of one noise together. A curve that is refused a
model is not held. Limits at 5, 5.5 and 6 pairs are told apart: they lie at the edge of what is measured.
`rates`: PDR by MLRsearch and by plain bisection on lossy channels; goals: within 2 % of the truth in ≥ 95 % of truths,
no more trial seconds than bisection of the same width, and its failures with one bad trial, that both run, beside ours.
`shaped`: PDR through a real token bucket, between namespaces; the same goals, from 30 truths on. `shaped-loss` loses
0.1 to 0.3 % before it, below PDR's 0.5 % (netem: where this kernel has none, --guest); `shaped-none` 1 %, so that there
is no PDR; in `shaped-bad` one of the first six trials is bad.
`live`: the same forecasts between real namespaces, under uplinks of different rates; the same goals, from 20 repeats
on, where a point without a number or a forecast is one that is not held. `edge`: such limits at 5, 5.5 and 6 pairs.
`quota`: and under a CPU quota that all iperf3 share, here by cgroups v1, or in a guest by v2 (--guest, QEMU; root).
`cost`: what a step costs beside its traffic, by number of pairs, five steps of each, in processes of their own; goals:
32 pairs up in ≤ 6 s and begun within 0.2 s of one another, a whole `nettune capacity` of 32 ≤ 400 MB, the cost of a
pair alike at every number (most over least ≤ 1.5; simulated to 10,000), seconds up and down that grow no faster than
pairs^1.2, nothing left behind. Root, as `scripts/as-root` gives it.

    python -m benchmarks.capacity [PART …] [--replays N] [--guest] [--json FILE] [--kept FILE]

Each goal is told as held, MISSED, or not judged where rows are too few for it; exit code 1 where one was missed. A
trial without a number is measured again, three times at most, and counted as such.

Real paths take long: with --kept each row is kept as it is made, and a second start goes on. `edge`, `quota` and
the last three of `shaped` run when they are named.
"""

from benchmarks.capacity.tables import main

__all__ = ["main"]
