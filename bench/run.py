"""The loop: blocks of trials over standing labs, each trial held, probed, checked, put back and kept.

It knows no knob and no table: treatments come as a Protocol, numbers go to the Store. A block that is cut short is
measured afresh by `--resume`; complete blocks are never measured again.
"""

import contextlib
import json
import time
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench import asking, carryover, losses, schedule, trust
from bench.facts import counters
from bench.facts.counters import Counters
from bench.facts.sheet import Sheets, comparable, differences
from bench.hosts.command import Command
from bench.hosts.host import Host, ask_everywhere
from bench.labs.lab import Lab
from bench.plan import Plan
from bench.probes.probe import Measured, Pair, Probe, ProbeFailed, ToolBroke
from bench.restarts import UNCOUNTED
from bench.treatment import Held, Nothing, Treatment
from results.errors import NotAble
from results.looks import look
from results.records import CURRENT, CURRENT_ARMS, Histogram, Sample, TrialStatus
from results.store import Ended, Store


class FactsMoved(NotAble):
    """A resumed run finds another machine than it left."""


class LinkInTrouble(NotAble):
    """Load on a shared link was stopped: its watch saw that others might suffer."""

    def __init__(self, seen: str, then: NotAble | None = None) -> None:
        also = f"; then: {then}" if then else ""
        goes_on = "the run ends here; once the link is well, `nettune run --resume last` goes on"
        super().__init__(
            f"the load on the shared link was stopped: {seen}{also}", hint=(then.hint if then else "") or goes_on
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands, for whoever shows it."""

    topology: str
    block: int  # 0-based
    blocks: int
    arm: str
    trials_done: int
    trials_in_all: int  # at most; a sequential run may need fewer
    note: str = ""  # what went wrong with the trial before, "" otherwise


@dataclass(frozen=True, slots=True)
class Campaign:
    """One run ready to go. `live` are the treatments of each topology that can be held there."""

    run_id: str
    plan: Plan
    seed: int
    labs: Mapping[str, Lab]
    baselines: Mapping[str, Sheets]
    live: Mapping[str, Sequence[Treatment]]
    store: Store
    watch: Callable[[Progress], None]
    capacities: Mapping[tuple[str, str], float] = field(default_factory=dict)  # (topology, metric) of current
    enough: Callable[[int], bool] = lambda _: False  # asked before each block: whether the run ends here


def paired(
    probe: Probe,
    lab: Lab,
    index: int,
    *,
    seed: int,
    block: int,
    turn: int = 0,
    known: Mapping[str, float] | None = None,
) -> Pair:
    """Where the plan's `index`th probe runs in a block, and its load beside it."""

    def between(ends: tuple[str, str], row: int, beside: Pair | None = None) -> Pair:
        client, server = (lab.end(name) for name in ends)
        dealt = schedule.ports(row, seed=seed, block=block, turn=turn)
        meets = lab.reached(client, server)
        return Pair(client, server, dealt.server, dealt.client, meets, known or {}, beside, lab)

    load = None if probe.load_ends is None else between(probe.load_ends, index + schedule.PROBES_AT_MOST)
    return between(probe.ends, index, load)


def check_baseline(store: Store, run_id: str, topology: str, baseline: Sheets, anew: Container[str] = ()) -> None:
    """A resumed run goes on only over equal facts. Raises FactsMoved naming the first that differ.

    `anew` are hosts that were made once more: their MACs are others.
    """
    kept = store.baseline(run_id, topology)
    if not kept:
        return
    now = {name: each.facts for name, each in baseline.items()}
    odd = differences(comparable(kept, anew), comparable(now, anew))
    if odd:
        told = "; ".join(str(each) for each in odd[:4])
        raise FactsMoved(
            f"run {run_id} cannot go on: {topology} is not what it was ({len(odd)} facts differ): {told}",
            hint="its finished blocks stand; start a new run for this machine as it is now",
        )


def measure(campaign: Campaign) -> None:
    """Run every block that is not complete yet. An interruption passes through: the block becomes an orphan."""
    standing = campaign.store.blocks(campaign.run_id)
    complete = {(topology, block) for topology, block, _, status in standing if status == "complete"}
    attempts = {(topology, block): attempt for topology, block, attempt, _ in sorted(standing, key=lambda row: row[2])}
    tally = _Tally(campaign, {name: sum(each == name for each, _ in complete) for name in campaign.labs})
    design = campaign.plan.design
    for name, sheets in campaign.baselines.items():
        _keep(campaign.store, sheets)
        tally.live[name] = list(campaign.live[name])
        tally.trials += tally.over[name] * tally.size(name)
    for block, topology in rounds(tuple(campaign.labs), design.blocks, campaign.seed):
        _look(campaign, tally, topology, block)
        if (topology, block) in complete or not tally.size(topology):
            continue  # of a sequential run that has decided every arm here
        if campaign.enough(block):
            break
        _block(campaign, tally, topology, block, attempts.get((topology, block), -1) + 1)


def rounds(names: Sequence[str], blocks: int, seed: int) -> Iterator[tuple[int, str]]:
    """(block, topology) in the order of measurement."""
    for block in range(blocks):
        for topology in schedule.topologies(names, seed=seed, block=block):
            yield block, topology


@dataclass(slots=True)
class _Tally:
    """What the loop keeps in mind: which arms are still live, and how far it is."""

    campaign: Campaign
    over: dict[str, int]  # blocks of each topology
    live: dict[str, list[Treatment]] = field(default_factory=dict)
    trials: int = 0  # of blocks that are over
    begun: int = 0  # of the block on its way
    note: str = ""

    def progress(self, topology: str, block: int, arm: str) -> Progress:
        """As it stands before a trial; arms that are decided are not waited for."""
        blocks = self.campaign.plan.blocks
        left = sum(self.size(name) * (blocks - over) for name, over in self.over.items())
        return Progress(topology, block, blocks, arm, self.trials + self.begun, self.trials + left, self.note)

    def size(self, topology: str) -> int:
        """Trials of a block; 0 where every arm is decided."""
        decided = self.campaign.live[topology] and not self.live[topology]
        return 0 if decided else len(self.live[topology]) + len(CURRENT_ARMS)

    def end_block(self, topology: str) -> None:
        """One more is over."""
        self.over[topology] += 1
        self.trials, self.begun = self.trials + self.begun, 0


def _look(campaign: Campaign, tally: _Tally, topology: str, block: int) -> None:
    """A sequential run drops the arms that its looks decided after `block` blocks."""
    if not campaign.plan.sequential or block == 0:
        return
    stopped = look(campaign.plan.design, campaign.store.trials(campaign.run_id), block)
    tally.live[topology] = [each for each in tally.live[topology] if (topology, each.name) not in stopped]


def _block(campaign: Campaign, tally: _Tally, topology: str, block: int, attempt: int) -> None:
    """One round over all live arms of a topology."""
    store, run_id = campaign.store, campaign.run_id
    lab, baseline = campaign.labs[topology], campaign.baselines[topology]
    treatments: dict[str, Treatment] = {name: Nothing(name) for name in CURRENT_ARMS}
    treatments |= {each.name: each for each in tally.live[topology]}
    outer = {name: each.outer(lab, baseline) for name, each in treatments.items()}
    states = {name: each.name if each is not None else "" for name, each in outer.items()}
    order = schedule.groups(states, seed=campaign.seed, topology=topology, block=block, attempt=attempt)
    store.begin_block(run_id, topology, block, attempt, [arm for group in order for arm in group])
    position = 0
    for group in order:
        with contextlib.ExitStack() as stack:
            within, cause = baseline, ""
            if len(order) > 1:
                campaign.watch(replace(tally.progress(topology, block, "guests are started anew"), note=""))
                within, cause = _begun(stack, campaign, outer[group[0]], topology, block, first=position == 0)
            for arm in group:
                campaign.watch(tally.progress(topology, block, arm))
                trial_id = store.begin_trial(run_id, topology, block, attempt, position, arm)
                ended = _kept(campaign, trial_id, treatments[arm], topology, block, position, within, cause)
                position += 1
                tally.begun += 1
                tally.note = "" if ended.status == "done" else f"{arm}: {ended.status}: {ended.cause}"
    store.end_block(run_id, topology, block, attempt)
    tally.end_block(topology)


def _kept(
    campaign: Campaign,
    trial_id: int,
    treatment: Treatment,
    topology: str,
    block: int,
    position: int,
    within: Sheets,
    cause: str,
) -> Ended:
    """One trial, kept before this returns. Raises LinkInTrouble where the watch of a shared link saw any."""
    store, trouble = campaign.store, campaign.labs[topology].trouble
    try:
        ended = _trial(campaign, treatment, topology, block, position, within, cause)
    except NotAble as error:
        if seen := trouble():  # as when what was put back does not stay: the cause of both comes first
            store.end_trial(trial_id, Ended("failed", str(LinkInTrouble(seen)), 0.0))
            raise LinkInTrouble(seen, error) from None
        raise
    store.end_trial(trial_id, ended)
    if seen := trouble():
        raise LinkInTrouble(seen)
    return ended


def _begun(
    stack: contextlib.ExitStack, campaign: Campaign, outer: Treatment | None, topology: str, block: int, *, first: bool
) -> tuple[Sheets, str]:
    """Guests that have just been started, for one group of arms: their facts, and why it cannot be measured.

    Some trials are measured and not counted: what a guest does for the first time takes longer. ADR 0021.
    """
    lab, baseline = campaign.labs[topology], campaign.baselines[topology]
    held = Held(lab, baseline)
    try:
        if outer is not None:
            held = stack.enter_context(outer.holds(lab, baseline))
        elif first:  # the end of the group before has just started them
            lab.restart({})
        if outer is None and (odd := differences(baseline, lab.read())):
            told = "; ".join(str(each) for each in odd[:4])
            raise NotAble(f"{topology}: guests that were started anew are not what they were: {told}")
    except NotAble as error:
        if differences(baseline, lab.read()):
            raise
        return baseline, str(error)
    with contextlib.suppress(NotAble):  # a trial that counts tells it again
        for _ in range(UNCOUNTED):
            _probed(campaign, outer or Nothing(CURRENT), lab, baseline, held, (block, 0))
    return held.within, ""


def _trial(
    campaign: Campaign, treatment: Treatment, topology: str, block: int, position: int, within: Sheets, cause: str
) -> Ended:
    """One arm held once, on a lab that is `within`, or missing with that `cause`.

    An undo that failed ends the run: nothing may be measured on a lab that is not what it was.
    """
    lab = campaign.labs[topology]
    started = time.monotonic()
    ended = Ended("missing", cause or "not begun", 0.0)
    if cause:
        return ended
    try:
        with treatment.holds(lab, within) as held:
            ended = _probed(campaign, treatment, lab, campaign.baselines[topology], held, (block, position))
        if ended.status == "done":
            trust.none_moved(held.moved)
    except NotAble as error:
        if differences(within, lab.read()):
            raise
        ended = replace(ended, status="missing", cause=str(error))
    return replace(ended, elapsed_s=time.monotonic() - started)


def _probed(
    campaign: Campaign, treatment: Treatment, lab: Lab, baseline: Sheets, held: Held, place: tuple[int, int]
) -> Ended:
    """All probes of the plan in order, and whether their numbers may be trusted. `place` is (block, position in it)."""
    _keep(campaign.store, held.within)
    found = _Found()
    status: TrialStatus = "done"
    cause = ""
    try:
        trust.treatment_explains(treatment, baseline, held.within)
        beside = asking.beside(lab, held.within)
        clean, before = _ready(lab, beside)
        turn = 0 if clean else place[1] + 1
        known = {
            f"current/{metric}": value
            for (topology, metric), value in campaign.capacities.items()
            if topology == lab.topology.name
        }
        for index, probe in enumerate(campaign.plan.probes):
            so_far = {**known, **{sample.name: sample.value for sample in found.samples}}
            pair = paired(probe, lab, index, seed=campaign.seed, block=place[0], turn=turn, known=so_far)
            measured = probe.measure(pair)
            after_probe = counters.read(lab.counted, beside)
            trust.path_was_taken(lab.between(pair.client, pair.server), measured, before, after_probe)
            found.take(probe, measured, before, after_probe, lab)
            before = after_probe
    except ProbeFailed as error:
        status = "missing" if isinstance(error, ToolBroke) else "failed"
        cause = str(error)
        found.raw |= {("failed", name): text for name, text in error.raw.items()}
    except trust.Untrusted as error:
        status, cause = "missing", str(error)
    if seen := lab.trouble():
        status, cause = "failed", str(LinkInTrouble(seen))
    read = held.read()
    after = {
        name: held.within[name] if held.within[name].facts == sheet.facts else sheet for name, sheet in read.items()
    }
    _keep(campaign.store, after)
    if status == "done":
        try:
            trust.nothing_moved(held.within, after)
        except trust.Untrusted as error:
            status, cause = "missing", str(error)
    return Ended(
        status=status,
        cause=cause,
        elapsed_s=0.0,
        samples=tuple(found.samples),
        histograms=tuple(found.histograms),
        flags=tuple(found.flags),
        raw=found.raw,
        facts_before={name: sheet.digest for name, sheet in held.within.items()},
        facts_after={name: sheet.digest for name, sheet in after.items()},
    )


def _ready(lab: Lab, beside: Mapping[Host, Sequence[Command]]) -> tuple[bool, dict[str, Counters]]:
    """Carry-over taken away, whether all of it went, and the counters after it: one round trip per host."""
    first = carryover.questions(lab)
    then = counters.questions(lab.counted, beside)
    answers = ask_everywhere({host: (*first.get(host, ()), *asked) for host, asked in then.items()})
    rest = {host: outcomes[len(first.get(host, ())) :] for host, outcomes in answers.items()}
    clean = carryover.gone(lab, {host: answers[host][: len(asked)] for host, asked in first.items()})
    return clean, counters.told(rest)


class _Found:
    """What the probes of one trial gave so far."""

    def __init__(self) -> None:
        self.samples: list[Sample] = []
        self.histograms: list[Histogram] = []
        self.flags: list[str] = []
        self.raw: dict[tuple[str, str], str] = {}

    def take(
        self,
        probe: Probe,
        measured: Measured,
        before: Mapping[str, Counters],
        after: Mapping[str, Counters],
        lab: Lab,
    ) -> None:
        """Add one probe's numbers and those of the counters around it."""
        self.samples += measured.samples
        self.histograms += measured.histograms
        self.flags += measured.flags
        self.raw |= {(probe.name, name): text for name, text in measured.raw.items()}
        traffic = {"traffic_s": probe.traffic_s}
        moved = {host: {**counters.growth(before[host], now), **traffic} for host, now in after.items()}
        self.raw[probe.name, "counters"] = json.dumps(moved)
        machine = lab.own_kernels[0].name  # /proc/stat is a whole kernel's
        a, b = before[machine], after[machine]
        seconds = max(b.uptime_s - a.uptime_s, 0.01)
        direction = next((sample.direction for sample in measured.samples), "-")

        def sample(metric: str, value: float, unit: str, end: str) -> Sample:
            return Sample(probe.name, metric, value, unit, end, direction, seconds)

        used = counters.cores(a, b)
        self.samples += [sample(f"cpu_{use}", value, "cores", "machine") for use, value in used.items()]
        if measured.delivered_bytes:
            rate = (measured.delivered_bytes + measured.returned_bytes) * 8 / seconds
            self.samples.append(sample("cpu_per_10gbit", used["busy"] / rate * 1e10, "cores", "machine"))
            drops, sent = trust.dropped(lab, before, after)
            self.samples.append(sample("drops", drops / max(1, sent), "1", "path"))
        if measured.datagrams:
            lost = losses.placed(lab, measured.datagrams, before, after)
            self.flags += [f"{probe.name}: {each}" for each in lost.flags]
            share = 1 / max(1, measured.datagrams.sent)
            self.samples += [
                sample(f"lost_{place}", getattr(lost, place) * share, "1", place) for place in losses.PLACES
            ]


def _keep(store: Store, sheets: Sheets) -> None:
    for sheet in sheets.values():
        store.keep_facts(sheet.digest, sheet.host, sheet.facts)
