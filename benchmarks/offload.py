"""Offload validation: how fast its payload check is, how long a whole one takes, how soon planted faults are named.

    python -m benchmarks.offload                           payload, namespaces, faults
    python -m benchmarks.offload --guests                  and a whole validation of a virtio pair of guests
    python -m benchmarks.offload faults --of "drops super" --repeats 1

Each measurement is kept in --kept as it ends, and not repeated for the same commit: what was broken off goes on. Exit
code 1 where a goal is missed. Payload: goodput is that of the receiver, bytes that were read and compared, over the
time from the first to the last, beside iperf3's on the same path in turn.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from bench.probes.iperf3 import Tcp
from bench.probes.probe import Pair
from benchmarks.capacity.kept import Asked, rows
from tests.netns import test_offload_faults as planted
from tuning.offload import exchange
from tuning.offload.cases import Case, judged
from tuning.offload.exchange import End

ROOT = Path(__file__).resolve().parent.parent
SHARE_GOAL = 0.8
NAMESPACES_GOAL_S, GUESTS_GOAL_S, FAULT_GOAL_S = 180.0, 480.0, 20.0
BULK_BYTES = 2_000_000_000
_LONGEST_S = 3600.0
_GUESTS = ("--set", "lab={provider: qemu, memory_mb: 384}", "--set", "topologies=[bridge]")


@dataclass
class Kept:
    """Figures by what they are of: for the same commit those of the file are not measured again."""

    file: Path
    commit: str
    figures: dict[str, list[float]] = field(default_factory=dict)

    def measured(self, of: str, times: int, measure: Callable[[int], float]) -> list[float]:
        """So many figures; those that are not there yet are measured, by their number, and kept one by one."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        asked = Asked(times, self.file if self.commit else None)
        found = rows(f"{of} on {self.commit}", asked, lambda number: {"value": measure(number)})
        self.figures[of] = [float(str(row["value"])) for row in found]
        return self.figures[of]


def shares(kept: Kept, rounds: int, bulk_bytes: int) -> bool:
    """Payload that is compared as a share of iperf3's goodput, medians over the rounds; whether the goal is held."""
    case = Case("tcp4", "tcp", "out", 4, bulk_bytes)
    with tempfile.TemporaryDirectory() as folder, standing(Topology("direct"), leases_folder=Path(folder)) as lab:
        ends = [End(end.host, end.device, {4: end.address}, "") for end in (lab.a, lab.b)]

        def plain(number: int) -> float:
            pair = Pair(lab.a, lab.b, 20001 + number, 30001 + number, lab.reached(lab.a, lab.b))
            samples = Tcp("tcp", 0.8, 0.2, 1, "forward", "", 0).measure(pair).samples
            return next(each.value for each in samples if each.metric == "goodput")

        def compared(number: int) -> float:
            [result] = exchange.run(ends[0], ends[1], [case], 1500, number)
            if judged(result)[0] != "ok":
                raise SystemExit(f"the payload check said {judged(result)}")
            return float(result.taker["got"] * 8 / result.taker["took_s"])

        for number in range(rounds):  # in turn
            both = [kept.measured(f"payload {name} {bulk_bytes}", number + 1, measure)
                    for name, measure in (("plain", plain), ("compared", compared))]  # fmt: skip
    iperf3, ours = (statistics.median(each) for each in both)
    print(f"  payload compared {ours / 1e9:.1f} Gbit/s, iperf3 {iperf3 / 1e9:.1f} Gbit/s, n = {rounds}")
    return told("share of payload", f"{ours / iperf3:.0%}", f"≥ {SHARE_GOAL:.0%}", held=ours / iperf3 >= SHARE_GOAL)


def whole(kept: Kept, name: str, repeats: int, words: tuple[str, ...], goal_s: float) -> bool:
    """Seconds of whole validations without a soak; whether the longest is within the goal."""

    def measure(turn: int) -> float:
        began = time.monotonic()
        command = Command((sys.executable, "-m", "nettune", "offload", "validate", *words, "--seed", str(turn)),
                          deadline_s=_LONGEST_S)  # fmt: skip
        done = Local().run(command)
        if done.returncode:
            raise SystemExit(f"{command} exited with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return time.monotonic() - began

    found = kept.measured(" ".join((name, *words)), repeats, measure)
    return told(f"whole validation, {name}", spread(found), f"≤ {goal_s:g} s", held=max(found) <= goal_s)


def named(kept: Kept, repeats: int, only: str) -> Iterator[bool]:
    """Seconds until each planted fault is named by the level that must catch it; whether each is within the goal."""
    listed = [(each, planted.test_what_a_nic_does_to_packets_is_named) for each in planted.ON_THE_WAY]
    listed += [(each, planted.test_what_a_driver_makes_of_a_toggle_is_named) for each in planted.BY_THE_DRIVER]
    for fault, test in listed:
        what = f"{fault.kind} ({fault.level})"
        if only and only not in what:
            continue

        def measure(turn: int, fault: planted.Planted = fault, test: Callable[..., None] = test) -> float:
            del turn
            with tempfile.TemporaryDirectory() as folder:
                began = time.monotonic()
                test(Path(folder) / "state", Path(folder), fault)
                return time.monotonic() - began

        found = kept.measured(f"fault {what}", repeats, measure)
        yield told(f"named: {what}", spread(found), f"≤ {FAULT_GOAL_S:g} s", held=max(found) <= FAULT_GOAL_S)


def spread(values: list[float]) -> str:
    """Least, median and most."""
    return f"{min(values):.1f} / {statistics.median(values):.1f} / {max(values):.1f} s (n = {len(values)})"


def told(what: str, figure: str, goal: str, *, held: bool) -> bool:
    """One line with its goal; whether that is held."""
    print(f"  {what:<44}{figure:<34}goal {goal}: {'held' if held else 'MISSED'}", flush=True)
    return held


def main() -> None:
    """Measure and print; exit with 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help="payload, namespaces, faults, guests; the first three when not given")
    parser.add_argument("--guests", action="store_true", help="the part of guests too")
    parser.add_argument("--rounds", type=int, default=9, help="of the payload check")
    parser.add_argument("--bulk-bytes", type=int, default=BULK_BYTES, help="of the payload check")
    parser.add_argument("--repeats", type=int, default=1, help="of whole validations, and of each fault")
    parser.add_argument("--of", default="", help="faults: those alone whose name has this")
    parser.add_argument("--features", default="", help="whole validations: of these alone, to try it")
    parser.add_argument(
        "--set", dest="sets", action="append", default=[], help="whole validations: key=value of the plan"
    )
    parser.add_argument("--kept", type=Path, default=ROOT / "demo" / "offload.jsonl")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    parts = [*(chosen.parts or ("payload", "namespaces", "faults")), *(["guests"] if chosen.guests else [])]
    if unknown := set(parts) - {"payload", "namespaces", "faults", "guests"}:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    commit = Local().run(Command(("git", "-C", str(ROOT), "rev-parse", "HEAD"))).stdout.strip()
    kept = Kept(chosen.kept, commit)
    only: tuple[str, ...] = ("--features", chosen.features) if chosen.features else ()
    only += tuple(word for each in chosen.sets for word in ("--set", each))
    held = []
    for part in dict.fromkeys(parts):
        if part == "payload":
            held.append(shares(kept, chosen.rounds, chosen.bulk_bytes))
        elif part == "faults":
            held += named(kept, chosen.repeats, chosen.of)
        else:
            lab, goal_s = ((), NAMESPACES_GOAL_S) if part == "namespaces" else (_GUESTS, GUESTS_GOAL_S)
            held.append(whole(kept, part, chosen.repeats, (*lab, *only), goal_s))
    if chosen.json:
        with chosen.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"benchmark": "offload", "held": all(held), **kept.figures}) + "\n")
    if not all(held):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
