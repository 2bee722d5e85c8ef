"""How a density run is kept: its arms are numbers of pairs. Light: verbs ask it of every run."""

from results.records import Run

KIND = "density"  # of a run's plan
PROBE = "density"
PROFILES = "profiles applied"  # a fact of the run's machine
DOWN = "one-leg-down"  # of the window after a leg was taken away


def arm(n: int) -> str:
    """What a number of pairs is called as an arm."""
    return f"{n}-pairs"


def pairs(arm_name: str) -> int:
    """The number of pairs of an arm."""
    return int(arm_name.removesuffix("-pairs"))


def is_density(run: Run) -> bool:
    """Whether a run is of pairs at once, and not of treatments."""
    return run.plan.get("kind") == KIND
