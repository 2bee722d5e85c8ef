"""Joins a search with labs and store: every stage is a run, found again by its label. Holds no number of its own."""

import contextlib
import json
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import diagnosis, ready
from bench.hosts.local import Local
from bench.labs import lease
from bench.labs.provider import provided
from bench.plan import Plan, SettingSpec
from bench.probes.iperf3 import Tcp
from nettune import able, files
from nettune.places import Places
from nettune.say import Screen, duration
from nettune.watch import Watch
from nettune.wiring import Order, carry_out, load_plan, stored_plan
from results.errors import WrongInput
from results.records import CURRENT_ARMS
from results.statistics import percent
from results.store import Store
from tuning import profile_text, shelf, standings
from tuning import treatments as settings
from tuning.journal import kept
from tuning.knobs.catalogue import catalogue, entries_for
from tuning.knobs.entry import DISRUPTIONS, Disruption
from tuning.profile import load
from tuning.search import driving, planned, sampling
from tuning.search.advising import advice
from tuning.search.course import least_trials
from tuning.search.planned import Explored
from tuning.search.space import space
from tuning.search.stages import Answer, Config, Factor, Measured, Pick, Stage, config


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

    def path(self, places: Places) -> Path:
        """Where it is kept."""
        return places.state / "searches" / f"{self.name}.json"


def new(
    name: str,
    overrides: Sequence[str],
    asked: tuple[float | None, int | None, int],
    seed: int,
    *,
    most: Disruption,
    only: Sequence[str],
    anchors: bool,
    sampler: tuple[str, str] = ("", ""),
) -> Search:
    """A search of the one path of the plan of that name; `asked` is the budget: seconds, trials, trials otherwise.

    Raises WrongInput where the plan has several paths, or the budget claims nothing.
    """
    plan = load_plan(name, overrides)
    trials_most = budget(plan, *asked)
    if len(plan.topologies) != 1:
        names = ", ".join(plan.design.topologies)
        raise WrongInput(f"tune searches one path, and plan {plan.name} has {len(plan.topologies)}: {names}",
                         hint="--set topologies=[bridge], or a plan of your own")  # fmt: skip
    bare = stored_plan({**plan.document, "treatments": {}, "blocks": "8"})
    label = time.strftime("tune-%Y%m%d-%H%M%S-") + secrets.token_hex(2)
    return Search(label, bare, seed, trials_most, most, tuple(only), anchors, *sampler)


def keep(search: Search, places: Places, explored: Explored | None = None) -> None:
    """Write it down, so that it can be gone on with."""
    document = {
        "format": planned.FORMAT, "plan": search.plan.document, "seed": search.seed,
        "trials_most": search.trials_most, "most": search.most, "only": list(search.only), "anchors": search.anchors,
        "storage": search.storage, "study": search.study,
        "explored": None if explored is None else planned.as_document(explored),
    }  # fmt: skip
    files.write(search.path(places), json.dumps(document, indent=1) + "\n")


def found(name: str, places: Places) -> tuple[Search, Explored | None]:
    """A search that was begun, by its name or "last". Raises WrongInput."""
    folder = places.state / "searches"
    there = sorted(folder.glob("tune-*.json"))
    chosen = [each for each in there if each.stem == name] or (there[-1:] if name == "last" else [])
    if not chosen:
        names = ", ".join(each.stem for each in there[-3:]) or "none was begun"
        raise WrongInput(f"no search {name!r}", hint=f"the newest: {names}")
    document = json.loads(chosen[0].read_text(encoding="utf-8"))
    explored = None if document["explored"] is None else planned.from_document(document["explored"])
    search = Search(chosen[0].stem, stored_plan(document["plan"]), document["seed"], document["trials_most"],
                    document["most"], tuple(document["only"]), document["anchors"], document.get("storage", ""),
                    document.get("study", ""))  # fmt: skip
    return search, explored


def carried_out(
    search: Search, explored: Explored | None, places: Places, store: Store, screen: Screen
) -> tuple[Answer, tuple[Measured, ...], Explored | None]:
    """Every stage that is not there yet, and the answer. An interruption leaves what was measured, and no change."""
    known: list[Explored] = [] if explored is None else [explored]

    def measure(stage: Stage, number: int) -> Measured:
        return _measured(search, stage, number, places, store, screen)

    def explore(noise: Measured) -> tuple[tuple[Factor, ...], Mapping[str, Config]]:
        if not known:
            known.append(_explored(search, _symptoms(search, noise, store), places, screen))
            keep(search, places, known[0])
        for name, evidence in known[0].symptoms:
            screen.line(f"symptom {name}: {evidence}")
        names = ", ".join(each.setting for each in known[0].factors) or "none"
        screen.line(f"knobs to try: {names}; published profiles beside them: {', '.join(known[0].anchors) or 'none'}")
        return known[0].factors, known[0].anchors

    def watch(stage: Stage, number: int) -> None:
        what = f"{number + 1}. {stage.purpose}: {stage.why}"
        most = "up to " if stage.sequential else ""
        took = duration(stage.trials * search.plan.design.block_s / len(CURRENT_ARMS))
        screen.line(f"{what}; {len(stage.arms)} arms, {most}{stage.blocks} blocks, {most}{took}", "bold")

    base, most = search.plan.design, search.trials_most
    if search.study:
        storage = search.storage or f"sqlite:///{search.path(places).with_name(f'{search.study}.study.db')}"
        answer, stages = sampling.sampled(
            base, most, storage=storage, study=search.study, seed=search.seed, measure=measure, explore=explore,
            watch=watch,
        )  # fmt: skip
    else:
        answer, stages = driving.searched(base, most, measure=measure, explore=explore, watch=watch)
    return answer, stages, known[0] if known else None


def _measured(search: Search, stage: Stage, number: int, places: Places, store: Store, screen: Screen) -> Measured:
    """The run of a stage: found by its label, gone on with where it was cut short, or made."""
    label = f"{search.name}.{number}-{stage.purpose}"
    plan = planned.planned(search.plan, stage)
    there = store.listed(label=label)
    run = store.run(there[0].run_id) if there else None
    if run is None or run.status != "complete":
        watch = Watch(screen, plan.design.block_s)
        try:
            order = Order(plan, search.seed + number, resumes=run, label="" if run else label)
            run_id = carry_out(order, places, store, watch, say=watch.note)
        finally:
            watch.close()
        run = store.run(run_id)
    return Measured(stage, run.design, store.trials(run.run_id, metrics=run.design.judged), run.run_id)


def _symptoms(search: Search, noise: Measured, store: Store) -> tuple[tuple[str, str], ...]:
    """What limits the path, by the trials of current."""
    baseline = store.baseline(noise.run_id, noise.design.topologies[0])
    buffers = [facts["sysctl/net.ipv4.tcp_wmem"].split()[-1] for facts in baseline.values()
               if "sysctl/net.ipv4.tcp_wmem" in facts]  # fmt: skip
    path = diagnosis.Path(min(map(int, buffers), default=0), search.plan.topologies[0].shape.rate_mbit * 1e6)
    return tuple(
        (each.symptom, each.evidence) for each in diagnosis.diagnose(_evidence(noise, store, CURRENT_ARMS), path)
    )


def _evidence(measured: Measured, store: Store, arms: Sequence[str]) -> list[diagnosis.Evidence]:
    return [
        diagnosis.evidence({each.name: each.value for each in trial.samples}, trial.flags, store.raw(trial.trial_id))
        for trial in measured.trials
        if trial.arm in arms and trial.status == "done"
    ]


def _explanations(confirm: Measured, pick: Pick, explored: Explored | None, store: Store) -> dict[str, str]:
    """Setting -> what moved with it: its own symptom gone, or, of one setting alone, the figure that moved most."""
    current, treated = (_evidence(confirm, store, arms) for arms in (CURRENT_ARMS, (pick.arm,)))
    figures = diagnosis.moved(current, treated)
    gone = {name for name, _ in explored.symptoms} if explored else set()
    gone -= {each.symptom for each in diagnosis.diagnose(treated, diagnosis.Path())}
    found = {}
    for spec in pick.config:
        own = {entry.symptom for entry in entries_for(spec.setting)} & gone
        if own:
            found[spec.setting] = f"{', '.join(sorted(own))} is gone{f': {figures[0]}' if figures else ''}"
        elif len(pick.config) == 1 and figures:
            found[spec.setting] = "; ".join(figures[:2])
    return found


def _explored(search: Search, symptoms: tuple[tuple[str, str], ...], places: Places, screen: Screen) -> Explored:
    """What the path has: the knobs that its symptoms let in, the anchors as far as they raise anything."""
    if any(name == "line-rate" for name, _ in symptoms):
        return Explored((), {}, symptoms, (("all knobs", "the link is full: there is nothing to gain"),))
    local = Local()
    with lease.only_run(places.state, search.name), contextlib.ExitStack() as stack:
        able.check(search.plan, local)
        provider = provided(search.plan.deployed, trial_s=search.plan.trial_most_s, cache=places.cache, local=local,
                            say=screen.line)  # fmt: skip
        folder = places.journals if search.plan.inventory is None else places.journals_of_hosts
        journal = stack.enter_context(kept(folder / f"{search.name}.jsonl"))
        labs, _ = ready.standing(stack, search.plan, provider, local=local, leases_folder=places.leases)
        lab = next(iter(labs.values()))
        now = lab.read()

        def refusal(*specs: SettingSpec) -> str:
            (alone,) = settings.treatments({"alone": specs}, journal)
            return ready.tried(alone, lab, now)

        own = any(isinstance(each, Tcp) and each.preferred for each in search.plan.probes)
        found = space(catalogue().values(), lab, now, symptoms=[name for name, _ in symptoms], refusal=refusal,
                      most=search.most, probes_own=own, only=search.only)  # fmt: skip
        anchors: dict[str, Config] = {}
        readings = standings.of_lab(lab, now)
        for name, path in (shelf.anchors() if search.anchors else {}).items():
            arm = config(*standings.as_treatment(load(path), readings).settings)
            arm = config(*(each for each in arm if not refusal(each)))
            if arm and arm not in anchors.values():
                anchors[name] = arm
    return Explored(found.factors, anchors, symptoms, found.left_out)


def estimate(search: Search) -> str:
    """What is about to be searched, and how long it takes at most."""
    took = duration(search.trials_most * _trial_s(search.plan))
    return f"{search.plan.name}: {search.name}, up to {search.trials_most} trials, {took}, seed {search.seed}"


def budget(plan: Plan, seconds: float | None, trials: int | None, otherwise: int) -> int:
    """The trials that a search may take. Raises WrongInput for both, or for too few to claim anything."""
    if seconds is not None and trials is not None:
        raise WrongInput("--budget and --trials say the same", hint="leave one out")
    trial_s = _trial_s(plan)
    most = int(seconds / trial_s) if seconds is not None else trials or otherwise
    least = least_trials(1)
    if most < least:
        raise WrongInput(
            f"a budget of {most} trials ({duration(most * trial_s)}) is too small for any claim: noise, the shortest "
            f"race of one arm and its confirmation take {least} ({duration(least * trial_s)})",
            hint=f"--trials {max(least, otherwise)} or more, or a plan with shorter trials",
        )
    return most


def sampler(search: str, storage: str, study: str) -> tuple[str, str]:
    """(storage, study) of `--search optuna`; ("", "") for nettune's own search. Raises WrongInput."""
    if search not in {"own", "optuna"}:
        raise WrongInput(f"--search {search!r} is none", hint="own, or optuna")
    if search == "own":
        if storage or study:
            raise WrongInput("--storage and --study are of --search optuna", hint="add --search optuna")
        return "", ""
    if storage and "://" not in storage:
        raise WrongInput(f"--storage {storage!r} is no URL", hint="postgresql://USER@HOST/NAME, or sqlite:///FILE")
    if re.search(r"://[^/@]*:[^/@]*@", storage):
        raise WrongInput("--storage holds a password, which would be kept with the search",
                         hint="put it into ~/.pgpass or PGPASSWORD")  # fmt: skip
    if storage.startswith("postgresql://"):
        storage = storage.replace("postgresql://", "postgresql+psycopg://", 1)
    return storage, study or "nettune"


def disruption(word: str) -> Disruption:
    """d0 … d7. Raises WrongInput."""
    found = next((each for each in DISRUPTIONS if each == word), None)
    if found is None:
        said = "; ".join(f"{each}: {words}" for each, words in DISRUPTIONS.items())
        raise WrongInput(f"--disruption {word!r} is no class", hint=said)
    return found


def told(screen: Screen, answer: Answer, explored: Explored | None) -> None:
    """The sentences of an answer, the conclusion last."""
    for sentence in answer.said:
        screen.line(sentence)
    if explored is not None and explored.left_out:
        screen.line(f"{len(explored.left_out)} knobs were left out; --json says why each", "dim")
    conclusion = {
        "confirmed": f"{len(answer.picks)} confirmed on fresh blocks.",
        "nothing": "Change nothing.",
        "refused": "No claim can be made here.",
    }[answer.status]
    screen.line(f"{conclusion} {answer.trials} trials.", "bold")


def written(
    store: Store, answer: Answer, stages: Sequence[Measured], explored: Explored | None, out: Path
) -> tuple[Path, ...]:
    """A profile for each pick: `out` for the first, `out` with the pick's name for the others."""
    paths = []
    for number, pick in enumerate(answer.picks):
        run = store.run(stages[-1].run_id)
        path = out if number == 0 else out.with_name(f"{out.stem}-{pick.names[0]}{out.suffix}")
        files.write(
            path, profile_text.text(run, advice(run, answer, pick, _explanations(stages[-1], pick, explored, store)))
        )
        paths.append(path)
    return tuple(paths)


def document(
    search: Search, answer: Answer, stages: Sequence[Measured], explored: Explored | None
) -> dict[str, object]:
    """For machines."""
    return {
        "search": search.name,
        "plan": search.plan.name,
        "status": answer.status,
        "trials": answer.trials,
        "visible_pct": answer.visible_pct,
        "said": list(answer.said),
        "stages": [{"purpose": each.stage.purpose, "run": each.run_id, "arms": list(each.stage.arms),
                    "trials": len(each.trials)} for each in stages],
        "picks": [
            {"names": list(pick.names), "metric": pick.metric, "gain_pct": percent(pick.gain.mean),
             "interval_pct": [percent(pick.gain.low), percent(pick.gain.high)], "blocks": pick.gain.n,
             "settings": [{"setting": x.setting, "value": x.value, "target": x.target} for x in pick.config]}
            for pick in answer.picks
        ],
        "explored": None if explored is None else planned.as_document(explored),
    }  # fmt: skip


def _trial_s(plan: Plan) -> float:
    return plan.design.block_s / (len(plan.treatments) + len(CURRENT_ARMS))
