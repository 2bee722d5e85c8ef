"""The verb `capacity`: how many VMs a host carries at a service level, and what limits it."""

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nettune.places import places
from nettune.say import Screen, duration

if TYPE_CHECKING:
    from nettune.capacity import Order
    from nettune.places import Places
    from results.scaling.page import Findings
    from results.store import Store


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
        str, typer.Option(help="Goodput that the link carries, if known: 9.4Gbit of 10.", metavar="RATE")
    ] = "",
    label: Annotated[str, typer.Option(help="A name for this run.", metavar="NAME")] = "",
    max_host_cpu: Annotated[
        str, typer.Option(help="Busy share of a machine where load ends: 70%.", metavar="SHARE")
    ] = "",
    shared_host: Annotated[
        bool, typer.Option("--shared-host", help="Nodes that carry guests of others; they are watched.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done; do nothing.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for capacity.html, capacity.csv, capacity.json.")] = None,
    store: Annotated[str, typer.Option("--store", help="Results: a file or database URL (or NETTUNE_STORE).")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Measure 1 … N pairs at once, model the curve, say how many VMs fit a service level."""
    from bench.capacity.safety import Safety, share
    from nettune import unprivileged
    from results.errors import WrongInput
    from results.scaling.slo import parse, rate_bps

    terms = parse(slo) if slo else ()  # before anything is measured
    safety = Safety(share(max_host_cpu), shared_host)
    if of and safety.told:
        raise WrongInput("--from measures nothing, so no load need end", hint="leave out --max-host-cpu, --shared-host")
    line_bps = rate_bps(line_rate) if line_rate else math.inf
    screen, where = Screen(quiet=as_json), places(store)
    if not (dry_run or of or unprivileged.elsewhere(plan)):
        unprivileged.enter(where)
    from bench.capacity.findings import findings
    from results.store import opened

    with opened(":memory:" if dry_run and not (resume or of) else where.store) as kept:
        run_id = of
        if not of:
            order = replace(_order(kept, plan, sets or (), resume, seed, label), safety=safety)
            _announce(screen, order)
            if dry_run:
                _dry_run(screen, order)
                return
            run_id = _measured(screen, order, where, kept)
        found = findings(kept, run_id, terms, line_bps=line_bps)
        others = [findings(kept, each, terms, line_bps=line_bps) for each in beside or ()]
        _tell(screen, found, others)
        if out is not None:
            screen.line("  ".join(str(path) for path in _written(found, others, out)))
        if as_json:
            screen.document(_document(found, others))


def _order(
    kept: "Store", plan: str, sets: "list[str] | tuple[()]", resume: str, seed: int | None, label: str
) -> "Order":
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
        return resumed(kept, resume)
    return Order(load(plan, sets), dealt() if seed is None else seed, label=label)


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
    plan = order.plan
    screen.line(f"{plan.name}: {plan.about}".rstrip(": "), "bold")
    screen.line(
        f"{plan.repeats} blocks × {len(plan.pairs)} numbers of pairs (up to {max(plan.pairs)}), "
        f"{duration(plan.estimate_s)}, seed {order.seed}"
    )


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


def _tell(screen: Screen, found: "Findings", others: "list[Findings]") -> None:
    from bench.capacity.step import STOPPED
    from results.scaling import beside, told

    headings, rows = told.table(found.answer, found.counted.costs)
    screen.table("", [f"#{each}" for each in headings], rows)
    headings, rows = told.split_table(found.counted.splits)
    if rows:
        screen.table("CPU in cores, of all machines; packets that queues dropped; the least pair",
                     [f"#{each}" for each in headings], rows)  # fmt: skip
    headings, rows = told.tcp_table(found.counted.transfers)
    if rows:
        screen.table("TCP by RFC 6349", [f"#{each}" for each in headings], rows)
    for line in told.curve_lines(found.answer):
        screen.line(line)
    for each in found.answer.allowed:
        screen.line(f"  {told.bound(each, found.answer.measured)}")
    for line in found.symptoms:
        screen.line(f"With {found.symptoms_at} pairs: {line}")
    for n, why in found.lost:
        if why.startswith(STOPPED):
            continue
        screen.line(f"{n} pairs, a trial without a number: {why}", "yellow")
    for line in _ended(found):
        screen.line(line, "yellow")
    if others:
        screen.table("side by side", *beside.table((found, *others)))
    if down := told.down(found.down, found.outages):
        screen.line(down)
    screen.line(beside.sentence(found, others), "bold")


def _ended(found: "Findings") -> list[str]:
    """Where load was ended before its time, and what was left out for that."""
    from bench.capacity.step import STOPPED

    return [f"Load was ended at {n} pairs, and no step with as many was begun after it: {why.removeprefix(STOPPED)}"
            for n, why in found.lost if why.startswith(STOPPED)]  # fmt: skip


def _document(found: "Findings", others: "list[Findings]") -> dict[str, object]:
    """With what was put beside it as documents of their own."""
    from results.scaling import beside, told
    from results.scaling.counted import Counted

    lost = [{"pairs": n, "cause": why} for n, why in found.lost]
    down = (
        None if found.down is None else {**told.document(found.down, Counted(), ()), "outages_s": list(found.outages)}
    )
    own = told.document(found.answer, found.counted, found.symptoms, found.symptoms_at)
    own |= {
        "answer": beside.sentence(found, others),
        "run_id": found.run.run_id,
        "plan": found.run.plan_name,
        "label": found.run.label,
    }
    return {**own, "one_leg_down": down, "lost": lost, "load_ended": _ended(found),
            "beside": [_document(each, []) for each in others]}  # fmt: skip


def _written(found: "Findings", others: "list[Findings]", folder: Path) -> tuple[Path, ...]:
    import json

    from nettune.files import write
    from results.scaling import told
    from results.scaling.page import page

    html, table, shown = (folder / f"capacity.{ending}" for ending in ("html", "csv", "json"))
    write(html, page(found, others))
    write(table, told.spreadsheet(found.answer, found.counted))
    write(shown, json.dumps(_document(found, others), indent=1, ensure_ascii=False) + "\n")
    return html, table, shown
