"""A search as it was ordered: enough to go on with it, and what its trials cost."""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench import plan as plans
from bench import restarts
from bench.document import from_plain
from bench.plan import Plan
from results.errors import WrongInput
from results.records import CURRENT_ARMS
from tuning.knobs.catalogue import entries_for, entry
from tuning.knobs.entry import Disruption
from tuning.knobs.table import check
from tuning.search import planned
from tuning.search.planned import Explored
from tuning.search.stages import Prices


@dataclass(frozen=True, slots=True)
class Search:
    """One search, as it was ordered; enough to go on with it."""

    name: str
    plan: Plan  # one path, no treatments
    seed: int
    trials_most: int
    most: Disruption
    only: tuple[str, ...]
    anchors: bool
    storage: str = ""  # of an Optuna study; "": the search is nettune's own
    study: str = ""
    budget_s: float | None = None  # where the budget is in time: `trials_most` is what that was estimated to pay for


def ordered(
    plan: Plan,
    trials_most: int,
    seed: int,
    *,
    most: Disruption,
    only: Sequence[str],
    anchors: bool,
    sampler: tuple[str, str] = ("", ""),
    budget_s: float | None = None,
) -> Search:
    """A new search of the one path of a plan; `sampler` is the storage and the name of an Optuna study.

    Raises WrongInput where the plan has several paths, or `only` names what is no knob.
    """
    for word in only:
        if not entries_for(word):
            entry(word)  # by its id; the error names the nearest
    if len(plan.topologies) != 1:
        names = ", ".join(plan.design.topologies)
        raise WrongInput(f"tune searches one path, and plan {plan.name} has {len(plan.topologies)}: {names}",
                         hint="--set topologies=[bridge], or a plan of your own")  # fmt: skip
    bare = _plan({**plan.document, "treatments": {}, "blocks": "8"})
    label = time.strftime("tune-%Y%m%d-%H%M%S-") + secrets.token_hex(2)
    return Search(label, bare, seed, trials_most, most, tuple(only), anchors, *sampler, budget_s)


def as_document(search: Search, explored: Explored | None) -> dict[str, object]:
    """For JSON."""
    return {
        "format": planned.FORMAT, "plan": search.plan.document, "seed": search.seed,
        "trials_most": search.trials_most, "most": search.most, "only": list(search.only), "anchors": search.anchors,
        "storage": search.storage, "study": search.study, "budget_s": search.budget_s,
        "explored": None if explored is None else planned.as_document(explored),
    }  # fmt: skip


def from_document(name: str, document: Mapping[str, Any]) -> tuple[Search, Explored | None]:  # Any: JSON of our own
    """What `as_document` made. Raises WrongInput for another format."""
    explored = None if document["explored"] is None else planned.from_document(document["explored"])
    search = Search(name, _plan(document["plan"]), document["seed"], document["trials_most"],
                    document["most"], tuple(document["only"]), document["anchors"], document.get("storage", ""),
                    document.get("study", ""), document.get("budget_s"))  # fmt: skip
    return search, explored


def prices(plan: Plan) -> Prices:
    """What a trial of the plan takes, and what guests that are started anew for an arm and back add to a block."""
    trial_s = plan.design.block_s / (len(plan.treatments) + len(CURRENT_ARMS))
    anew_s = 2 * restarts.START_S + restarts.UNCOUNTED * trial_s if plan.guests is not None else 0.0
    return Prices(trial_s, restart_s=anew_s)


def _plan(document: Mapping[str, object]) -> Plan:
    return plans.parse(from_plain(dict(document), "the search's plan"), check=check)
