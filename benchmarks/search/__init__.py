"""How the search of `tune` holds: on surfaces whose truth is known, with the noise of real trials replayed.

Noise is that of the recordings in benchmarks/recordings, in the order of time, as it was and scaled down to the scatter
of a quiet host; planted effects are added to it. Every stage is decided by the functions that decide a live search.

`null`: ten knobs and two anchors without effect; goal: at most 6 % of searches recommend anything, by the upper 95 %
bound. `planted`: 3, 5 and 10 %, a pair that together does harm, and a knob that gains and hurts p99; goals: at least
90 % of those of 5 % and more found, the p99-harming one never under `balanced`, and the confirmed 95 % intervals hold
the truth (the Clopper-Pearson interval of the coverage holds 95 %). `regret`: how far the answer is from the best
configuration, after as many trials of the same length, beside Optuna's samplers and one at a time by the best mean.
`hostile`: knobs that break the path (goal: never recommended), two of which either does, a bundle, a buffer, a relink.

    python -m benchmarks.search [null planted hostile regret] [--replays N] [--processes N] [--json FILE]
"""

from benchmarks.search.tables import main

__all__ = ["main"]
