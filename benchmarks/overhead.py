"""What the harness costs per trial, beside a plain shell loop over the same cells in the same lab, block by block.

Both run the same arms with the same iperf3 and irtt commands. What the clients themselves take (their traffic and
their fixed time, measured in the loop) is subtracted from both; what is left is overhead.
"""

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.labs.lab import Lab
from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from bench.plan import Plan
from bench.run import Campaign, measure
from nettune.wiring import load_plan
from results.records import Run
from results.store import opened
from tuning import journal
from tuning.treatments import Settings

GOAL_S = 0.15
# One arm as an operator would script it: set, serve, run both clients, put back by hand. Prints whole and client ms.
LOOP = """\
a="ip netns exec $1"; b="ip netns exec $2"; n="ip netns exec $3"; arm=$4
now() { date +%s%N; }
begin=$(now)
case $arm in
no-tso) $a ethtool -K eth0 tso off gso off; $b ethtool -K eth0 tso off gso off ;;
small-buffers) small="4096 16384 16384"
    for e in "$a" "$b"; do $e sysctl -qw net.ipv4.tcp_rmem="$small" net.ipv4.tcp_wmem="$small"; done ;;
mtu-9000) for p in port-a port-b; do $n ip link set $p mtu 9000; done
    for e in "$a" "$b"; do $e ip link set eth0 mtu 9000; done ;;
esac >/dev/null 2>&1
$b iperf3 -s -1 -J -p 25001 >/dev/null & tcp=$!
$b irtt server -i 1ms -b 198.18.0.2:25002 >/dev/null 2>&1 & udp=$!
until [ -n "$($b ss -Hltn sport = :25001)" ] && [ -n "$($b ss -Hlun sport = :25002)" ]; do :; done
first=$(now)
$a iperf3 -c 198.18.0.2 -p 25001 -t 1 -i 0.1 -J -C "$5" >/dev/null
$a irtt client -Q -i 1ms -d 600ms --tstamp=none --stats=none -o - 198.18.0.2:25002 >/dev/null
last=$(now)
kill $udp; wait $tcp
case $arm in
no-tso) $a ethtool -K eth0 tso on gso on; $b ethtool -K eth0 tso on gso on ;;
small-buffers) for e in "$a" "$b"; do $e sysctl -qw net.ipv4.tcp_rmem="$6" net.ipv4.tcp_wmem="$7"; done ;;
mtu-9000) for e in "$a" "$b"; do $e ip link set eth0 mtu 1500; done
    for p in port-a port-b; do $n ip link set $p mtu 1500; done ;;
esac >/dev/null 2>&1
end=$(now)
echo $(( (end - begin) / 1000 )) $(( (last - first) / 1000 ))
"""


def shell_trial(lab: Lab, arm: str, control: str, rmem: str, wmem: str) -> tuple[float, float]:
    """(whole, clients) seconds of one arm in the shell loop."""
    names = [getattr(host, "netns", "") for host in lab.hosts]
    command = Command(("sh", "-c", LOOP, "sh", *names, arm, control, rmem, wmem), deadline_s=30)
    whole, clients = Local().run(command).require().stdout.split()[-2:]
    return int(whole) / 1e6, int(clients) / 1e6


def compare(blocks: int) -> dict[str, float]:
    """Overhead per trial of both, in seconds; means over all trials, in alternating blocks."""
    plan = load_plan("quick", [f"blocks={blocks}"]).with_congestion_control(("bbr", "reno"))
    control = str(getattr(plan.probes[0], "congestion_control", "reno"))
    ours: list[float] = []
    loops: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        store = stack.enter_context(opened(f"{folder}/store.db"))
        lab = stack.enter_context(standing(Topology("bridge"), leases_folder=Path(folder) / "leases"))
        kept = stack.enter_context(journal.kept(Path(folder) / "journal"))
        baseline = lab.read()
        rmem, wmem = (baseline["a"].facts[f"sysctl/net.ipv4.tcp_{word}"] for word in ("rmem", "wmem"))
        treatments = [Settings(name, specs, kept) for name, specs in plan.treatments.items()]
        arms = ["current", "current-again", *plan.treatments]
        run_id = "overhead"
        store.begin_run(run_of(run_id, plan))
        for block in range(blocks):
            # Complete blocks are never measured again: each call measures the one that is new.
            campaign = Campaign(run_id, replace(plan, blocks=block + 1), 1, {"bridge": lab}, {"bridge": baseline},
                                {"bridge": treatments}, store, lambda _: None)  # fmt: skip
            started = time.monotonic()
            measure(campaign)
            ours.append((time.monotonic() - started) / len(arms))
            loops += [shell_trial(lab, arm, control, rmem, wmem) for arm in arms]
        odd = [trial.cause for trial in store.trials(run_id) if trial.status != "done"]
    if odd:
        print(f"  {len(odd)} trials gave no number: {odd[0]}")
    clients = statistics.fmean(each for _, each in loops)
    return {
        "nettune_s": statistics.fmean(ours) - clients,
        "loop_s": statistics.fmean(whole - each for whole, each in loops),
        "clients_s": clients,
        "trials_each": float(len(loops)),
    }


def run_of(run_id: str, plan: Plan) -> Run:
    """A run of a plan as the store wants it to begin."""
    return Run(run_id, plan.name, plan.document, plan.design, 1, "running", time.time(), None, "", (), {})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    found = compare(chosen.blocks)
    print(
        f"overhead per trial, mean of {found['trials_each']:.0f} trials each, "
        f"the clients' own {found['clients_s']:.3f} s taken off"
    )
    for name, goal in (("nettune", GOAL_S), ("loop", None)):
        value = found[f"{name}_s"]
        told = "" if goal is None else f"   goal ≤ {goal} s: {'held' if value <= goal else 'MISSED'}"
        print(f"  {name:<12}{value:6.3f} s{told}")
    if chosen.json:
        with chosen.json.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"benchmark": "overhead", **found}) + "\n")


if __name__ == "__main__":
    main()
