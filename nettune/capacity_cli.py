"""The verb `capacity`: how many VMs a host carries at a service level, and what limits it."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nettune.places import places
from nettune.say import Screen, duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.capacity.safety import Safety
    from nettune.capacity import Order
    from nettune.places import Places
    from results.store import Store

_VMS_MOST = 1_000_000


def capacity(
    plan: Annotated[str, typer.Argument(help="density-quick, density, or a YAML file.")] = "density-quick",
    *,
    slo: Annotated[str, typer.Option(help="As 'goodput>=1Gbit per vm, p99<=2ms, loss<=0.1%, cpu<=70%'.")] = "",
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value of the plan, e.g. repeats=5.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of order and ports; dealt when not given.")] = None,
    resume: Annotated[str, typer.Option(help="Go on with an interrupted run.", metavar="RUN")] = "",
    of: Annotated[str, typer.Option("--from", help="Answer from a run; measure nothing.", metavar="RUN")] = "",
    beside: Annotated[list[str] | None, typer.Option(help="A run to show beside it.", metavar="RUN")] = None,
    line_rate: Annotated[
        list[str] | None,
        typer.Option(
            help="Goodput that the link carries, if known: 9.4Gbit of 10; of one beside: RUN=RATE.", metavar="RATE"
        ),
    ] = None,
    vms: Annotated[str, typer.Option(help="Numbers of VMs that the table has, too: 8,10,11.", metavar="N,…")] = "",
    label: Annotated[str, typer.Option(help="A name for this run.", metavar="NAME")] = "",
    max_host_cpu: Annotated[
        str, typer.Option(help="Busy share of a machine where load ends: 70%.", metavar="SHARE")
    ] = "",
    shared_host: Annotated[
        bool, typer.Option("--shared-host", help="Nodes that carry guests of others; they are watched.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done; do nothing.")] = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for capacity.html, .csv, .json and capacity-nodes.csv.")
    ] = None,
    store: Annotated[str, typer.Option("--store", help="Results: a file or database URL (or NETTUNE_STORE).")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Measure 1 … N pairs at once, model the curve, say how many VMs fit a service level."""
    from nettune import unprivileged
    from results.scaling.slo import parse

    terms = parse(slo) if slo else ()  # before anything is measured
    safety = _care(max_host_cpu, of, shared_host=shared_host)
    lines, asked = _line_rates(line_rate or (), beside or ()), _asked(vms)
    screen, where = Screen(quiet=as_json), places(store)
    if not (dry_run or of or unprivileged.elsewhere(plan)):
        unprivileged.enter(where)
    from bench.capacity.findings import findings
    from nettune import capacity_shown as shown
    from results.store import opened

    with opened(":memory:" if dry_run and not (resume or of) else where.store) as kept:
        run_id = of
        if not of:
            order = replace(_order(kept, plan, sets or (), resume, seed, label, safety), line_bps=lines[""])
            _within(asked, max(order.plan.pairs))
            _announce(screen, order)
            if dry_run:
                _dry_run(screen, order)
                return
            run_id = _measured(screen, order, where, kept)
        found = findings(kept, run_id, terms, line_bps=lines[""], asked=asked)
        if of:
            _within(asked, found.answer.measured)
        others = [findings(kept, each, terms, line_bps=lines.get(each, math.inf), asked=asked) for each in beside or ()]
        shown.everywhere(screen, found, others, out, as_json=as_json)


def _care(max_host_cpu: str, of: str, *, shared_host: bool) -> "Safety":
    """What a run may do to others. Raises WrongInput, also where nothing is run."""
    from bench.capacity.safety import Safety, share
    from results.errors import WrongInput

    safety = Safety(share(max_host_cpu), shared_host)
    if of and safety.told:
        raise WrongInput("--from measures nothing, so no load need end", hint="leave out --max-host-cpu, --shared-host")
    return safety


def _order(
    kept: "Store", plan: str, sets: "list[str] | tuple[()]", resume: str, seed: int | None, label: str,
    safety: "Safety",
) -> "Order":  # fmt: skip
    from bench.capacity.plan import load
    from nettune import labels
    from nettune.capacity import Order, resumed
    from nettune.seeds import dealt
    from results.errors import WrongInput

    labels.check(label)
    if resume:
        if sets or label or seed is not None:
            raise WrongInput(
                "--resume goes on with a run as it was ordered", hint="leave out --set, --seed and --label"
            )
        return resumed(kept, resume, safety)
    return Order(load(plan, sets), dealt() if seed is None else seed, label=label, safety=safety)


def _asked(written: str) -> list[int]:
    """The numbers of `--vms`. Raises WrongInput."""
    from results.errors import WrongInput

    words = [each.strip() for each in written.split(",")] if written else []
    if wrong := [each for each in words if not each.isdecimal() or not 1 <= int(each) <= _VMS_MOST]:
        raise WrongInput(f"--vms {written}: {wrong[0]!r} is no number of VMs", hint="--vms 8,10,11")
    return [int(each) for each in words]


def _within(asked: "Sequence[int]", most: int) -> None:
    """Raise WrongInput for a number of which nothing may be said where so many are measured."""
    from results.errors import WrongInput
    from results.scaling.curve import REACH

    if far := [n for n in asked if n > REACH * most]:
        raise WrongInput(f"--vms {far[0]}: no forecast goes beyond {REACH} times the {most} that are measured",
                         hint=f"measure up to {math.ceil(far[0] / REACH)} pairs or more")  # fmt: skip


def _line_rates(written: "Sequence[str]", beside: "Sequence[str]") -> dict[str, float]:
    """Goodput of a line in bit/s by the name of a run beside, "" being the run itself (infinite: not said here).

    Raises WrongInput.
    """
    from results.errors import WrongInput
    from results.scaling.slo import rate_bps

    found = {"": math.inf}
    for each in written:
        name, _, rate = each.rpartition("=")
        if name and name not in beside:
            raise WrongInput(f"--line-rate {each}: no run {name} is beside", hint=f"--beside {name}, or the rate alone")
        found[name] = rate_bps(rate)
    return found


def _measured(screen: Screen, order: "Order", where: "Places", kept: "Store") -> str:
    """The run's id, once it is over."""
    from nettune import unprivileged
    from nettune.capacity import carry_out
    from nettune.watch import Watch

    unprivileged.announce(screen)
    watch = Watch(screen, order.plan.estimate_s / order.plan.repeats)
    try:
        return carry_out(order, where, kept, watch, say=screen.line)
    finally:
        watch.close()


def _announce(screen: Screen, order: "Order") -> None:
    from results.scaling.curve import too_few

    plan = order.plan
    screen.line(f"{plan.name}: {plan.about}".rstrip(": "), "bold")
    screen.line(
        f"{plan.repeats} blocks × {len(plan.pairs)} numbers of pairs (up to {max(plan.pairs)}), "
        f"{duration(plan.estimate_s)}, seed {order.seed}"
    )
    if why := too_few(dict.fromkeys(plan.pairs, plan.repeats)):
        screen.line(f"No model will be made of it, and so no forecast: {why}", "yellow")


def _dry_run(screen: Screen, order: "Order") -> None:
    """What would be made; the commands of a trial are those of `run`'s tcp and latency probes."""
    from bench.capacity.dense import names, steps

    plan = order.plan
    if plan.vms is not None:
        from bench.capacity.vms import commands

        for node, line in commands(plan.vms):
            screen.line(f"  {node}: {line}")
        return
    most = max(plan.pairs)
    if plan.guests is not None:
        from bench.capacity.guests import commands as made

        for host, line in made(plan.guests, most):
            screen.line(f"  {host}: {line}")
        return
    every = names(most, plan.layout)
    screen.line(f"\n{len(every)} namespaces, each line inside its own:")
    for each in steps(most, plan.layout, plan.uplink_mbit, {name: name for name in every}, plan.legs):
        for host, command in each:
            for line in command.stdin.splitlines():
                screen.line(f"  {host}: {command.argv[0]} {line}")
