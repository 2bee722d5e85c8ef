"""Why an arm that failed in two blocks is worse before it can be better (docs/adr/0002-judgement.md).

Simulated: an arm without any gain whose slow trials stall, so that they fail and leave the comparison. The blocks
that survive are its good ones. Both orders of the two rules are asked who wins; fixed seed, no traffic.
"""

import argparse
import math
import random

from results.statistics import estimate

ALPHA, MARGIN_PCT, FAILURES = 0.05, 5.0, 2


def replay(dealt: random.Random, *, blocks: int, spread: float, stalled: float) -> tuple[bool, int]:
    """(better by the surviving blocks, number of failures) of one run of an arm whose true gain is 0."""
    effects: list[float] = []
    failures = 0
    for _ in range(blocks):
        value = dealt.gauss(0.0, spread)
        # The slowest share of trials stalls: its chance of failing rises as it gets slower.
        if dealt.random() < stalled * 2 / (1 + math.exp(4 * value / spread)):
            failures += 1
        else:
            effects.append(value - (dealt.gauss(0.0, spread) + dealt.gauss(0.0, spread)) / 2)
    found = estimate(effects)
    gain_pct = 0.0 if found is None else (math.exp(found.mean) - 1) * 100
    return found is not None and found.p < ALPHA and gain_pct >= MARGIN_PCT, failures


def main() -> None:
    """Simulate and print both orders."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replays", type=int, default=4000)
    chosen = parser.parse_args()

    def share(count: int) -> str:
        return f"{100 * count / chosen.replays:.1f} %"

    print("an arm without gain that stalls when slow: share of runs that name it better (one comparison, p < .05)")
    print(f"  {'blocks':<8}{'CV':<8}{'stalls':<10}{'better first':<16}{'failures first':<16}")
    for blocks in (12, 20):
        for spread in (0.10, 0.20):
            for stalled in (0.0, 0.15, 0.30):
                dealt = random.Random(f"{blocks}/{spread}/{stalled}")
                runs = [replay(dealt, blocks=blocks, spread=spread, stalled=stalled) for _ in range(chosen.replays)]
                naive = sum(better for better, _ in runs)
                ours = sum(better and failures < FAILURES for better, failures in runs)
                print(f"  {blocks:<8}{spread:<8.0%}{stalled:<10.0%}{share(naive):<16}{share(ours):<16}")


if __name__ == "__main__":
    main()
