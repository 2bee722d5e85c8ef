"""What current carries, measured before the first block: the loads of a plan that are a share of it need it known.

The median of three trials under current on each topology, kept with the run, so that a resumed run goes on with the
very loads that it began with.
"""

from collections.abc import Mapping
from statistics import median

from bench import carryover
from bench.labs.lab import Lab
from bench.probes.probe import Probe, ProbeFailed
from bench.run import Campaign, LinkInTrouble, Progress, paired
from results.errors import NotAble
from results.records import CURRENT, CURRENT_ARMS

TRIALS = 3


def capacities(campaign: Campaign, kept: Mapping[str, float]) -> dict[tuple[str, str], float]:
    """(topology, metric) -> current's value, in the metric's unit; those in `kept` ("bridge/tcp.goodput") stand.

    What is measured is kept with the run at once. Raises NotAble where a probe gives no number.
    """
    found = {
        (topology, metric): value for name, value in kept.items() for topology, _, metric in (name.rpartition("/"),)
    }
    asked = dict.fromkeys(metric for probe in campaign.plan.probes for metric in probe.calibrates)
    for topology, lab in campaign.labs.items():
        for metric in asked:
            if (topology, metric) not in found:
                found[topology, metric] = _measured(campaign, topology, lab, metric)
                campaign.store.keep_capacities(
                    campaign.run_id, {f"{name}/{each}": value for (name, each), value in found.items()}
                )
    return found


def _measured(campaign: Campaign, topology: str, lab: Lab, metric: str) -> float:
    """The median of three trials of the probe that yields `metric`."""
    probes = campaign.plan.probes
    index, probe = next((at, each) for at, each in enumerate(probes) if metric in each.metrics)
    return median(_once(campaign, topology, lab, (index, probe), metric, turn) for turn in range(TRIALS))


def _once(campaign: Campaign, topology: str, lab: Lab, numbered: tuple[int, Probe], metric: str, turn: int) -> float:
    index, probe = numbered
    note = f"measuring what current carries ({metric}), {turn + 1} of {TRIALS}"
    blocks = campaign.plan.blocks
    in_all = blocks * sum(len(live) + len(CURRENT_ARMS) for live in campaign.live.values())
    campaign.watch(Progress(topology, 0, blocks, CURRENT, 0, in_all, note))
    carryover.neutralise(lab)
    try:
        measured = probe.measure(paired(probe, lab, index, seed=campaign.seed, block=-1, turn=turn + 1))
    except ProbeFailed as error:
        if seen := lab.trouble():
            raise LinkInTrouble(seen) from error
        raise NotAble(
            f"{topology}: {metric} under current, which a load is a share of, gave no number: {error}",
            hint=error.hint or "does the probe run on this topology without the load?",
        ) from error
    return next(sample.value for sample in measured.samples if sample.name == metric)
