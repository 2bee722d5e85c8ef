"""Joins a search with labs and store: every stage is a run, found again by its label. Holds no number of its own."""

import contextlib
import json
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import ready, restarts
from bench.hosts.local import Local
from bench.labs import lease
from bench.labs.provider import provided
from bench.plan import Plan
from nettune import able, files
from nettune.places import Places
from nettune.say import Screen, duration
from nettune.watch import Watch
from nettune.wiring import Order, carry_out, load_plan, stored_plan
from results.errors import WrongInput
from results.records import CURRENT_ARMS
from results.store import Store
from tuning.journal import kept
from tuning.knobs.catalogue import entries_for, entry
from tuning.knobs.entry import DISRUPTIONS, Disruption
from tuning.network_guards import NetworkGuards
from tuning.search import driving, exploring, planned, sampling
from tuning.search.course import least_trials
from tuning.search.planned import Explored
from tuning.search.stages import Answer, Measured, Prices, Stage


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
    for word in only:
        if not entries_for(word):
            entry(word)  # by its id; the error names the nearest
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
    over: list[Measured] = []

    def measure(stage: Stage, number: int) -> Measured:
        over.append(_measured(search, stage, number, places, store, screen))
        exploring.unmoved(over[0], over[-1], store, search.plan.made_anew)
        return over[-1]

    def explore(noise: Measured) -> Explored:
        if not known:
            limits = exploring.limits(search.plan, noise, store)
            known.append(exploring.full(limits, search.plan.primary) or _explored(search, limits, places, screen))
            keep(search, places, known[0])
        for name, evidence in known[0].symptoms:
            screen.line(f"symptom {name}: {evidence}")
        if known[0].unseen:
            blind = ", ".join(name for name, _ in known[0].unseen)
            screen.line(f"not to be seen here, --json says why: {blind}", "dim")
        if known[0].full(search.plan.primary):
            return known[0]
        names = ", ".join(each.setting for each in known[0].factors) or "none"
        beside = ", ".join(f"{name} (settings: {len(arm)})" for name, arm in known[0].anchors.items()) or "none"
        screen.line(f"knobs to try: {names}; published profiles beside them: {beside}")
        return known[0]

    def watch(stage: Stage, number: int) -> None:
        what = f"{number + 1}. {stage.purpose}: {stage.why}"
        most = "up to " if stage.sequential else ""
        took = duration(stage.trials * search.plan.design.block_s / len(CURRENT_ARMS))
        screen.line(f"{what}; {len(stage.arms)} arms, {most}{stage.blocks} blocks, {most}{took}", "bold")

    base, most = search.plan.design, search.trials_most
    with _goes_on(search.name):
        if search.study:
            storage = search.storage or f"sqlite:///{search.path(places).with_name(f'{search.study}.study.db')}"
            answer, stages = sampling.sampled(
                base, most, storage=storage, study=search.study, worker=search.name, seed=search.seed,
                measure=measure, explore=explore, watch=watch,
            )  # fmt: skip
        else:
            answer, stages = driving.searched(
                base, most, measure=measure, explore=explore, watch=watch, prices=prices(search.plan)
            )
    return answer, stages, known[0] if known else None


@contextlib.contextmanager
def _goes_on(name: str) -> Iterator[None]:
    """An interruption says how to go on. What went wrong does not: it may do so again."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception):
            error.add_note(f"the machine is as it was. `nettune tune --resume {name}` goes on")
        raise


def _measured(search: Search, stage: Stage, number: int, places: Places, store: Store, screen: Screen) -> Measured:
    """The run of a stage: found by its label, gone on with where it was cut short, or made."""
    label = f"{search.name}.{number}-{stage.purpose}"
    plan = planned.planned(search.plan, stage)
    there = store.listed(label=label)
    run = store.run(there[0].run_id) if there else None
    if run is not None:
        planned.same_question(plan, run)
    if run is None or run.status != "complete":
        watch = Watch(screen, plan.design.block_s)
        try:
            order = Order(plan, search.seed + number, resumes=run, label="" if run else label)
            run_id = carry_out(order, places, store, watch, say=watch.note)
        finally:
            watch.close()
        run = store.run(run_id)
    return Measured(stage, run.design, store.trials(run.run_id, metrics=run.design.judged), run.run_id)


def _explored(search: Search, limits: exploring.Limits, places: Places, screen: Screen) -> Explored:
    """What the path has, asked of a lab that stands for that."""
    local, plan = Local(), search.plan
    with lease.only_run(places.state, search.name), contextlib.ExitStack() as stack:
        able.check(plan, local)
        provider = provided(
            plan.deployed, trial_s=plan.trial_most_s, cache=places.cache, local=local, say=screen.line,
            guards=NetworkGuards(),
        )  # fmt: skip
        folder = places.journals_of_hosts if plan.changes_others else places.journals
        journal = stack.enter_context(kept(folder / f"{search.name}.jsonl"))
        labs, _ = ready.standing(stack, plan, provider, local=local, leases_folder=places.leases)
        lab = next(iter(labs.values()))
        return exploring.explored(
            plan, lab, journal, limits, most=search.most, only=search.only, anchors=search.anchors
        )


def estimate(search: Search) -> str:
    """What is about to be searched, and how long it takes at most."""
    took = duration(search.trials_most * prices(search.plan).trial_s)
    return f"{search.plan.name}: {search.name}, up to {search.trials_most} trials, {took}, seed {search.seed}"


def budget(plan: Plan, seconds: float | None, trials: int | None, otherwise: int) -> int:
    """The trials that a search may take. Raises WrongInput for both, or for too few to claim anything."""
    if seconds is not None and trials is not None:
        raise WrongInput("--budget and --trials say the same", hint="leave one out")
    paid = prices(plan)
    trial_s = paid.trial_s
    most = paid.trials(seconds) if seconds is not None else trials or otherwise
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


def prices(plan: Plan) -> Prices:
    """What a trial of the plan takes, and what guests that are started anew for an arm and back add to a block."""
    trial_s = plan.design.block_s / (len(plan.treatments) + len(CURRENT_ARMS))
    anew_s = 2 * restarts.START_S + restarts.UNCOUNTED * trial_s if plan.guests is not None else 0.0
    return Prices(trial_s, restart_s=anew_s)
