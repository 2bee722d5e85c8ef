"""Before a run and after it: what is ordered, how long it takes, what would be done, what went wrong."""

from collections.abc import Mapping, Sequence

from bench import plan_settings, restarts, schedule
from bench.facts import machine
from bench.hosts.local import Local
from bench.labs import provider
from bench.run import paired
from nettune import labels, shared
from nettune.places import places
from nettune.say import Screen, duration
from nettune.wiring import Order, load_plan, stored_plan
from results.errors import WrongInput
from results.judgement import judge
from results.records import CURRENT_ARMS
from results.store import Store
from tuning import measured, shelf
from tuning.knobs.table import knob_for
from tuning.recommend import CONFIRMING_BLOCKS, winning


def order(
    store: Store,
    plan: str,
    sets: Sequence[str],
    *,
    resume: str,
    confirm: str,
    blocks: int | None,
    seed: int,
    label: str,
    share_pct: float = 0.0,
    profiles: Sequence[str] = (),
) -> Order:
    """A new run of a plan, the rest of one, or the confirmation of one; `profiles` are arms beside a new one's.

    Raises WrongInput.
    """
    overrides = [*sets, *([f"blocks={blocks}"] if blocks else [])]
    labels.check(label)
    if profiles and (resume or confirm):
        raise WrongInput("--profile adds an arm to a new run", hint="leave out --resume and --confirm")
    if resume and label:
        raise WrongInput("--resume goes on with a run under the label it has", hint="leave out --label")
    if resume and (confirm or overrides):
        raise WrongInput(
            "--resume goes on with a run as it was ordered", hint="leave out --set, --blocks and --confirm"
        )
    if confirm and any(each.startswith("blocks=") and each != f"blocks={blocks}" for each in overrides):
        raise WrongInput(
            "--confirm decides its blocks itself, or takes --blocks", hint="--blocks in place of --set blocks"
        )
    if resume:
        run = store.run(resume)
        if run.status == "complete":
            raise WrongInput(f"run {run.run_id} is complete; there is nothing to resume")
        return Order(stored_plan(run.plan), run.seed, run.confirms, run, share_pct=shared.kept(run, share_pct))
    if not confirm:
        arms = tuple(shelf.found(each, places().profiles) for each in profiles)
        whole = measured.added(load_plan(plan, overrides), arms)
        return shared.checked(Order(whole, seed, label=label, share_pct=share_pct, profiles=arms))
    run = store.run(confirm)
    winners = winning(run, judge(run.design, store.trials(run.run_id)))
    if not winners:
        raise WrongInput(f"run {run.run_id} names no candidate: there is nothing to confirm")
    document = plan_settings.confirmation(run.plan, tuple(winners), max(CONFIRMING_BLOCKS, blocks or 0))
    others = [each for each in overrides if not each.startswith("blocks=")]
    again = stored_plan(document.plain(), others)  # type: ignore[arg-type]  # a mapping's plain is a dict
    return shared.checked(Order(again, seed, run.run_id, label=label, share_pct=share_pct))


def estimate(screen: Screen, order: Order) -> None:
    """What is about to happen and how long it takes, in two lines."""
    plan, design = order.plan, order.plan.design
    arms = len(plan.treatments) + len(CURRENT_ARMS)
    trials = arms * plan.blocks * len(plan.topologies)
    what = f"confirms {order.confirms}" if order.confirms else plan.about
    screen.line(f"{plan.name}: {what}".rstrip(": "), "bold")
    most = "up to " if plan.sequential else ""
    screen.line(
        f"{most}{plan.blocks} blocks × {arms} arms × {len(plan.topologies)} topologies = {trials} trials, "
        f"{most}{duration(design.block_s * plan.blocks * len(plan.topologies))}, seed {order.seed}"
    )
    for profile in order.profiles:
        screen.line(
            f"profile {profile.name} ({profile.label}): what the path does not have, or what would lower a maximum, is "
            "left out"
        )


def _told(groups: Sequence[Sequence[str]], states: Mapping[str, str]) -> str:
    """The arms in their order, with the starts of guests between."""
    if len(groups) == 1:
        return " → ".join(groups[0])
    begun = (f"guests started anew{f' ({states[group[0]]})' if states[group[0]] else ''}" for group in groups)
    return " → ".join(f"{start}, {restarts.UNCOUNTED} trials that are not counted → {' → '.join(group)}"
                      for start, group in zip(begun, groups, strict=True))  # fmt: skip


def dry_run(screen: Screen, order: Order) -> None:
    """The exact commands, without running any."""
    local = Local()
    told = {tool: local.run(tool).stdout for probe in order.plan.probes for tool in probe.tools}
    plan = order.plan.with_congestion_control(machine.available_congestion_controls(local)).with_tools(told)
    for topology in plan.topologies:
        inside = "each line inside its own namespace" if plan.deployed is None else "each line inside its own host"
        screen.line(f"\nlab {topology.name}, {inside}:")
        for host, line in provider.commands(topology, plan.deployed):
            screen.line(f"  {host}: {line}")
    if order.share_pct:
        screen.line(f"\nload is held to {order.share_pct:g} % of the slowest NIC, which the machines are asked for")
    for name, specs in plan.treatments.items():
        screen.line(f"\ntreatment {name}:")
        for spec in specs:
            knob = knob_for(spec.setting)
            where = spec.target or (knob.target if knob else "")
            screen.line(f"  on {where}: {knob.command(spec.setting, spec.value) if knob else spec.setting}")
    for topology in plan.topologies:
        states = dict.fromkeys(CURRENT_ARMS, "") | restarts.states(plan.treatments, plan.deployed, topology)
        first = schedule.groups(states, seed=order.seed, topology=topology.name, block=0, attempt=0)
        screen.line(f"\nblock 1 on {topology.name}: {_told(first, states)}")
    lab = provider.imagined(plan.topologies[0], plan.deployed)
    for index, probe in enumerate(plan.probes):
        pair = paired(probe, lab, index, seed=order.seed, block=0)
        screen.line(f"\nprobe {probe.name} in block 1 on {plan.topologies[0].name}, {probe.traffic_s:g} s of traffic:")
        for end, command in probe.commands(pair):
            screen.line(f"  {end}: {command}")
        if note := str(getattr(probe, "note", "")):
            screen.line(f"  {note}")
