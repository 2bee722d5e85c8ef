"""What a plan would do, said without running it."""

from collections.abc import Mapping, Sequence

from bench.plan import Plan
from nettune.say import Screen, duration
from results.records import CURRENT_ARMS


def told(screen: Screen, plan: Plan) -> None:
    """The plan in a few lines."""
    screen.line(f"{plan.name}: {plan.about}".rstrip(": "), "bold")
    arms = [f"{CURRENT_ARMS[0]} (twice)", *plan.treatments]
    screen.line(f"topologies: {', '.join(plan.design.topologies)}")
    screen.line(f"arms:       {', '.join(arms)}")
    screen.line(f"probes:     {', '.join(probe.name for probe in plan.probes)}; decides: {plan.primary}")
    whole = document(plan)
    most = "up to " if plan.sequential else ""
    screen.line(
        f"{most}{plan.blocks} blocks × {len(plan.treatments) + len(CURRENT_ARMS)} arms × {len(plan.topologies)} "
        f"topologies = {whole['trials']} trials, {most}{duration(plan.design.block_s * _blocks(plan))}"
    )


def document(plan: Plan) -> Mapping[str, object]:
    """The same for machines."""
    design = plan.design
    return {
        "name": plan.name,
        "about": plan.about,
        "topologies": list(design.topologies),
        "arms": [*CURRENT_ARMS, *plan.treatments],
        "probes": [probe.name for probe in plan.probes],
        "primary": plan.primary,
        "metrics": list(design.metrics),
        "goal": plan.goal,
        "margin_pct": plan.margin_pct,
        "blocks": plan.blocks,
        "sequential": plan.sequential,
        "trials": (len(plan.treatments) + len(CURRENT_ARMS)) * _blocks(plan),
        "estimate_s": round(design.block_s * _blocks(plan), 1),
    }


def several(names: Sequence[str], most: int = 4) -> str:
    """Names for one cell of a table: the first few, and how many there are."""
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[: most - 1])}, … ({len(names)})"


def _blocks(plan: Plan) -> int:
    return plan.blocks * len(plan.topologies)
