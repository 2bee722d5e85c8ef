"""Joins a search with labs and store: every stage is a run, found again by its label. Holds no number of its own."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import ready
from bench.hosts.local import Local
from bench.labs import lease
from bench.labs.provider import provided
from nettune import able, files, tuned
from nettune.places import Places
from nettune.say import Screen
from nettune.watch import Watch
from nettune.wiring import Order, carry_out
from results.errors import NotAble, WrongInput
from results.store import Store
from tuning.journal import kept
from tuning.network_guards import NetworkGuards
from tuning.search import driving, exploring, ordered, planned, sampling
from tuning.search.clock import Clock
from tuning.search.ordered import Search, prices
from tuning.search.planned import Explored
from tuning.search.stages import Answer, Measured, Stage


def keep(search: Search, places: Places, explored: Explored | None = None) -> None:
    """Write it down, so that it can be gone on with."""
    files.write(_path(search, places), json.dumps(ordered.as_document(search, explored), indent=1) + "\n")


def found(name: str, places: Places) -> tuple[Search, Explored | None]:
    """A search that was begun, by its name or "last". Raises WrongInput."""
    folder = places.state / "searches"
    there = sorted(folder.glob("tune-*.json"))
    chosen = [each for each in there if each.stem == name] or (there[-1:] if name == "last" else [])
    if not chosen:
        names = ", ".join(each.stem for each in there[-3:]) or "none was begun"
        raise WrongInput(f"no search {name!r}", hint=f"the newest: {names}")
    return ordered.from_document(chosen[0].stem, json.loads(chosen[0].read_text(encoding="utf-8")))


def _path(search: Search, places: Places) -> Path:
    return places.state / "searches" / f"{search.name}.json"


def carried_out(
    search: Search, explored: Explored | None, places: Places, store: Store, screen: Screen
) -> tuple[Answer, tuple[Measured, ...], Explored | None]:
    """Every stage that is not there yet, and the answer. An interruption leaves what was measured, and no change."""
    known: list[Explored] = [] if explored is None else [explored]
    over: list[Measured] = []

    def measure(stage: Stage, number: int) -> Measured:
        enough = (lambda _: False) if clock is None else clock.enough
        over.append(_measured(search, stage, number, places, store, screen, enough))
        exploring.unmoved(over[0], over[-1], store, search.plan.made_anew)
        return over[-1]

    def explore(noise: Measured) -> Explored:
        if not known:
            limits = exploring.limits(search.plan, noise, store)
            known.append(exploring.full(limits, search.plan.primary) or _explored(search, limits, places, screen))
            keep(search, places, known[0])
        tuned.explored(screen, known[0], search.plan.primary, search.only)
        return known[0]

    def watch(stage: Stage, number: int) -> None:
        tuned.begun(screen, stage, number, search.plan.design)

    base, most, clock = search.plan.design, search.trials_most, _clock(search, places)
    with _goes_on(search.name, clock):
        if search.study:
            storage = search.storage or f"sqlite:///{_path(search, places).with_name(f'{search.study}.study.db')}"
            answer, stages = sampling.sampled(
                base, most, storage=storage, study=search.study, worker=search.name, seed=search.seed,
                measure=measure, explore=explore, watch=watch, clock=clock,
            )  # fmt: skip
        else:
            answer, stages = driving.searched(
                base, most, measure=measure, explore=explore, watch=watch, prices=prices(search.plan), clock=clock
            )
    return answer, stages, known[0] if known else None


@contextlib.contextmanager
def _goes_on(name: str, clock: Clock | None) -> Iterator[None]:
    """An interruption says how to go on. What went wrong does not: it may do so again."""
    try:
        yield
    except BaseException as error:
        if clock is not None:
            with contextlib.suppress(NotAble):  # of a full disk: what ended the search is what is to be said
                clock.save()
        if not isinstance(error, Exception):
            error.add_note(f"the machine is as it was. `nettune tune --resume {name}` goes on")
        raise


def _clock(search: Search, places: Places) -> Clock | None:
    """That of a search whose budget is in time, with what it kept beside the search."""
    if search.budget_s is None:
        return None
    path = _path(search, places).with_suffix(".clock")
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return Clock(search.budget_s, prices(search.plan), kept, lambda document: files.write(path, json.dumps(document)))


def _measured(
    search: Search,
    stage: Stage,
    number: int,
    places: Places,
    store: Store,
    screen: Screen,
    enough: Callable[[int], bool] = lambda _: False,
) -> Measured:
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
            run_id = carry_out(order, places, store, watch, say=watch.note, enough=enough)
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
