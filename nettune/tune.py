"""Joins a search with labs and store: every stage is a run, found again by its label. Holds no number of its own."""

import contextlib
from collections.abc import Callable, Iterator

from bench import ready
from bench.hosts.local import Local
from bench.labs import lease
from bench.labs.provider import provided
from nettune import able, searches, tuned
from nettune.places import Places
from nettune.say import Screen
from nettune.watch import Watch
from nettune.wiring import Order, carry_out
from results.errors import NotAble
from results.records import Run
from results.store import Store
from tuning.journal import kept
from tuning.network_guards import NetworkGuards
from tuning.search import driving, exploring, planned, sampling
from tuning.search.clock import Clock
from tuning.search.ordered import Search, prices
from tuning.search.planned import Explored
from tuning.search.stages import Answer, Measured, Stage


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
            searches.keep(search, places, known[0])
        tuned.explored(screen, known[0], search.plan.primary, search.only)
        return known[0]

    def watch(stage: Stage, number: int) -> None:
        tuned.begun(screen, stage, number, search.plan.design)

    base, most, clock = search.plan.design, search.trials_most, searches.clock(search, places)
    with _goes_on(search.name, clock):
        if search.study:
            storage = search.storage or f"sqlite:///{places.state / 'searches' / search.study}.study.db"
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
    run = stored(search, stage, number, store)
    if run is None or run.status != "complete":
        plan = planned.planned(search.plan, stage)
        watch = Watch(screen, plan.design.block_s)
        try:
            order = Order(plan, search.seed + number, resumes=run, label="" if run else _label(search, stage, number))
            run_id = carry_out(order, places, store, watch, say=watch.note, enough=enough)
        finally:
            watch.close()
        run = store.run(run_id)
    return Measured(stage, run.design, store.trials(run.run_id, metrics=run.design.judged), run.run_id)


def stored(search: Search, stage: Stage, number: int, store: Store) -> Run | None:
    """The run of a stage, where it was begun. Raises WrongInput where that measured something else."""
    there = store.listed(label=_label(search, stage, number))
    if not there:
        return None
    run = store.run(there[0].run_id)
    planned.same_question(planned.planned(search.plan, stage), run)
    return run


def _label(search: Search, stage: Stage, number: int) -> str:
    return f"{search.name}.{number}-{stage.purpose}"


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
