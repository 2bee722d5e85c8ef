"""Why the guard of drops allows a tenth of what a path loses by itself (docs/adr/0038-drops-of-lossy-paths.md).

Simulated: a path that loses a share of its packets, whoever sends them. Current sends few, a treatment fifteen times as
many; some packets of each trial (the tool's own) are not lost, which is more to who sends few. Beside it a treatment
that overflows a queue. How often each is called harmed, by a limit of 0.01 % and by a tenth of what current drops where
that is more; fixed seeds, no traffic.
"""

import argparse
import math
import random

from results import guards
from results.pairs import complete_blocks
from results.records import CURRENT_ARMS, Guard, Sample, Trial

GUARD = Guard("tcp.drops", 1e-4, absolute=True)
FEW, GAIN, OWN = 6500, 15, 150  # packets of a trial of current; how many times as many; those that are never lost
BLOCKS = 18


def _dropped(dealt: random.Random, packets: int, share: float) -> float:
    """The share of a trial's packets that is dropped; a Poisson count by its normal limit."""
    mean = (packets - OWN) * share
    return max(0.0, dealt.gauss(mean, math.sqrt(mean))) / packets if mean else 0.0


def harmed(dealt: random.Random, loss: float, more: float) -> bool:
    """Whether one confirmation calls a treatment harmed that adds `more` drops to a path that has `loss`."""
    trials = []
    for block in range(BLOCKS):
        for position, arm in enumerate((*CURRENT_ARMS, "many")):
            packets, share = (FEW * GAIN, loss + more) if arm == "many" else (FEW, loss)
            value = _dropped(dealt, packets, share)
            sample = Sample("tcp", "drops", value, "1", "path", "-", 1.0)
            trials.append(Trial(3 * block + position, "p", block, 0, position, arm, "done", "", 0.0, 1.0, (sample,)))
    (blocks,) = complete_blocks(trials).values()
    (found,) = guards.guarded((GUARD,), blocks, "many")
    return found.word == "harmed"


def main() -> None:
    """Both limits over losses and overflows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replays", type=int, default=1000)
    chosen = parser.parse_args()
    ours = guards.OF_CURRENT
    print(f"called harmed, of {chosen.replays} confirmations of {BLOCKS} blocks")
    print(f"  {'loss':<8}{'overflow':<10}{'by 0.01 %':<12}by a tenth of current")
    try:
        for loss in (0.0, 0.001, 0.01):
            for more in (0.0, 0.0005, 0.002, 0.01):
                said = []
                for guards.OF_CURRENT in (0.0, ours):
                    dealt = random.Random(f"{loss}/{more}")
                    count = sum(harmed(dealt, loss, more) for _ in range(chosen.replays))
                    said.append(f"{100 * count / chosen.replays:.1f} %")
                print(f"  {loss:<8.1%}{more:<10.2%}{said[0]:<12}{said[1]}")
    finally:
        guards.OF_CURRENT = ours


if __name__ == "__main__":
    main()
