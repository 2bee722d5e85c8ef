"""A stage as a plan: the plan that is searched, with the stage's arms as its treatments; and a search on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import plan as plans
from bench.document import from_plain
from bench.plan import Plan, SettingSpec
from bench.plan_settings import written
from results.errors import WrongInput, first_of
from results.records import Run
from tuning.knobs.table import check
from tuning.search.stages import Config, Factor, Stage, config, words

# 1 (2026-11-27): first; 2 (2026-11-28): the symptoms that could not be seen;
# 3 (2026-11-30): where a factor is turned, and what is set with it
FORMAT = 3


def planned(plan: Plan, stage: Stage) -> Plan:
    """The plan of a stage."""
    treatments = {name: {"settings": written(arm)} for name, arm in stage.arms.items()}
    blocks: object = {"up_to": str(stage.blocks)} if stage.sequential else str(stage.blocks)
    document = {**plan.document, "treatments": treatments, "blocks": blocks}
    return plans.parse(from_plain(document, f"{plan.name}: {stage.purpose}"), check=check)


def same_question(plan: Plan, run: Run) -> None:
    """Raises WrongInput where the run that is there for a stage's plan holds other settings, or other blocks."""
    there = plans.parse(from_plain(dict(run.plan), f"run {run.run_id}"), check=check)
    held = [{name: config(*arm) for name, arm in each.treatments.items()} for each in (there, plan)]
    if held[0] == held[1] and there.design.blocks == plan.design.blocks:
        return
    raise WrongInput(
        f"this search would now measure {_arms(plan)}; run {run.run_id}, which has its place, measured {_arms(there)}",
        hint="its knobs, anchors, budget or study changed, or nettune did: start the search anew",
    )


def _arms(plan: Plan) -> str:
    arms = [f"{name} ({words(settings)})" for name, settings in plan.treatments.items()]
    return f"{first_of(arms, 3) or 'current'} in {plan.design.blocks} blocks"


@dataclass(frozen=True, slots=True)
class Explored:
    """What was found on the path before the search began; kept, so that a search that goes on asks the same."""

    factors: tuple[Factor, ...]
    anchors: Mapping[str, Config]
    symptoms: tuple[tuple[str, str], ...]  # (name, evidence)
    left_out: tuple[tuple[str, str], ...]  # (knob, why)
    unseen: tuple[tuple[str, str], ...] = ()  # (symptom, why nothing here could have shown it)

    def full(self, primary: str) -> str:
        """What shows that the link is full, so that no goodput is to be gained; "" where it is not, or nobody knows.

        Latency and CPU can be gained on a full link all the same.
        """
        return dict(self.symptoms).get("line-rate", "") if primary.endswith(".goodput") else ""


def as_document(found: Explored) -> dict[str, object]:
    """For JSON."""
    return {
        "format": FORMAT,
        "factors": [
            {"knob": each.knob, "setting": each.setting, "values": list(each.values), "target": each.target,
             "numeric": each.numeric, "why": each.why, "cost": each.cost, "beside": _listed(each.beside)}
            for each in found.factors
        ],
        "anchors": {name: _listed(arm) for name, arm in found.anchors.items()},
        "symptoms": [list(each) for each in found.symptoms],
        "left_out": [list(each) for each in found.left_out],
        "unseen": [list(each) for each in found.unseen],
    }  # fmt: skip


def from_document(document: Mapping[str, object]) -> Explored:
    """What `as_document` made. Raises WrongInput for another format."""
    if document.get("format") != FORMAT:
        raise WrongInput(f"this search was begun by another nettune (format {document.get('format')})",
                         hint="start it anew: its runs stay")  # fmt: skip
    listed = {key: document[key] for key in ("factors", "symptoms", "left_out", "unseen")}
    anchors = document["anchors"]
    assert isinstance(anchors, dict)  # noqa: S101 - our own file
    factors = tuple(
        Factor(
            each["knob"],
            each["setting"],
            tuple(each["values"]),
            each["target"],
            each["numeric"],
            each["why"],
            each["cost"],
            _config(each["beside"]),
        )
        for each in listed["factors"]  # type: ignore[attr-defined]  # JSON of our own
    )  # fmt: skip
    arms = {name: _config(arm) for name, arm in anchors.items()}
    pairs = [tuple((one, other) for one, other in listed[key]) for key in ("symptoms", "left_out", "unseen")]  # type: ignore[attr-defined]
    return Explored(factors, arms, *pairs)


def _listed(of: Config) -> list[list[str]]:
    return [[each.setting, each.value, each.target or ""] for each in of]


def _config(rows: Sequence[Sequence[str]]) -> Config:
    return config(*(SettingSpec(setting, value, target or None) for setting, value, target in rows))  # type: ignore[arg-type]  # one of Target
