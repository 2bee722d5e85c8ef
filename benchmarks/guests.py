"""What guests cost: image, two of them up, a command over SSH, a reading of their state, the harness per trial.

With --build the image is built from nothing into a folder of its own, downloads and all. The harness's share of a
trial is its whole time less that of the clients, which are run by hand over the same SSH connections.
"""

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.images import cache
from bench.labs import qemu
from bench.labs.guests import Guests
from bench.labs.kit import Kit, prepared
from bench.labs.lab import Lab
from bench.labs.topology import Topology
from bench.run import Campaign, measure, paired
from benchmarks.overhead import run_of
from nettune.places import places
from nettune.wiring import load_plan
from results.store import opened
from tuning import journal
from tuning.treatments import Settings

IMAGE_GOAL_S, UP_GOAL_S, SSH_GOAL_S, TRIAL_GOAL_S = 90.0, 25.0, 0.15, 1.0
_SERVER_S = 1.0  # that a server in a guest is given before its client comes


def timed(act: Callable[[], object], times: int) -> list[float]:
    """Seconds of each."""
    found = []
    for _ in range(times):
        started = time.monotonic()
        act()
        found.append(time.monotonic() - started)
    return found


def told(what: str, values: list[float], goal: float | None = None) -> dict[str, object]:
    """One line; the figures."""
    middle = statistics.median(values)
    word = "" if goal is None else f"   goal ≤ {goal:g} s: {'held' if middle <= goal else 'MISSED'}"
    print(f"  {what:<44}{min(values):.2f} / {middle:.2f} / {max(values):.2f} s (n = {len(values)}){word}", flush=True)
    return {"what": what, "values_s": values}


def stood(kit: Kit, folder: Path) -> None:
    """Two guests on a bridge, ready to measure, and gone again."""
    with qemu.standing(Topology("bridge"), kit, leases_folder=folder / "leases"):
        pass


def clients_s(lab: Lab, turn: int) -> float:
    """Seconds of the plan's clients, each with a server of its own, run by hand."""
    spent = 0.0
    for index, probe in enumerate(load_plan("vm-offloads", ()).probes):
        (server_at, server), (client_at, client) = probe.commands(paired(probe, lab, index, seed=99, block=turn))
        with lab.named(server_at).start(server):
            time.sleep(_SERVER_S)
            (one,) = timed(lambda at=client_at, command=client: lab.named(at).run(command), 1)  # type: ignore[misc]  # mypy knows no default of a lambda
        spent += one
    return spent


def per_trial(lab: Lab, folder: Path, blocks: int) -> tuple[list[float], list[float]]:
    """(whole trials, clients by hand) in seconds, in alternating blocks, all arms of vm-offloads."""
    plan = load_plan("vm-offloads", ()).with_congestion_control(("cubic",))
    with opened(str(folder / "store.db")) as store, journal.kept(folder / "journal") as kept:
        treatments = [Settings(name, specs, kept) for name, specs in plan.treatments.items()]
        store.begin_run(run_of("guests", plan))
        baseline = lab.read()
        by_hand = []
        for block in range(blocks):
            one = replace(plan, blocks=block + 1)  # the blocks before are complete
            measure(Campaign("guests", one, 1, {"bridge": lab}, {"bridge": baseline}, {"bridge": treatments}, store,
                             lambda _: None))  # fmt: skip
            by_hand.append(clients_s(lab, 1000 + block))
        trials = store.trials("guests")
    odd = [trial.cause for trial in trials if trial.status != "done"]
    if odd:
        print(f"  {len(odd)} of {len(trials)} trials gave no number: {odd[0]}")
    return [trial.elapsed_s for trial in trials], by_hand


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", action="store_true", help="build the image from nothing, downloads and all")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    local, rows = Local(), []
    print("guests, least / median / most")
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        if chosen.build:
            built = timed(lambda: cache.built(folder / "cache", local, lambda _: None), 1)
            rows.append(told("image from nothing, with downloads", built, IMAGE_GOAL_S))
        kit = prepared(Guests(), cache=places().cache, local=local, say=print)
        rows.append(told("image checked", timed(lambda: cache.built(places().cache, local, print), 5)))
        rows.append(told("two guests on a bridge, up and gone", timed(lambda: stood(kit, folder), chosen.times),
                         UP_GOAL_S))  # fmt: skip
        lab = stack.enter_context(qemu.standing(Topology("bridge"), kit, leases_folder=folder / "leases"))
        nothing = Command(("true",))
        rows.append(told("a command over SSH", timed(lambda: lab.a.host.run(nothing), 40), SSH_GOAL_S))
        rows.append(told("the state of both guests and the node", timed(lab.read, 10)))
        trials, clients = per_trial(lab, folder, chosen.blocks)
        own = statistics.fmean(trials) - statistics.fmean(clients)
        word = "held" if own <= TRIAL_GOAL_S else "MISSED"
        print(f"  harness per trial {own:.2f} s ({len(trials)} trials of {statistics.fmean(trials):.2f} s; the clients "
              f"by hand {statistics.fmean(clients):.2f} s)   goal ≤ {TRIAL_GOAL_S:g} s: {word}")  # fmt: skip
        rows.append({"what": "harness per trial", "trials_s": trials, "clients_s": clients})
    if chosen.json:
        with chosen.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"benchmark": "guests", "rows": rows}) + "\n")


if __name__ == "__main__":
    main()
