"""The verbs of `nettune lab`."""

from pathlib import Path
from typing import Annotated

import typer

from nettune.places import places
from nettune.say import Screen, capabilities

lab_app = typer.Typer(help="Labs: what this machine can stand, and what dead runs left.", no_args_is_help=True)
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


@lab_app.command()
def check(
    plan: Annotated[str, typer.Option(help="Ask the node that this plan's labs stand on.", metavar="PLAN")] = "",
    as_json: JsonOption = False,
) -> None:
    """What this machine's kernel can and cannot do for a lab; loads no module."""
    from bench.labs import capability, site
    from nettune import unprivileged, wiring

    guests = wiring.load_plan(plan, []).guests if plan else None
    node = guests.node if guests else None
    screen = Screen(quiet=as_json)
    if node is None:
        unprivileged.enter(places())
        unprivileged.announce(screen)
    with site.opened(node) as where:
        where.check()
        answers = capability.answers(where.host, places().leases, site=where)
    capabilities(screen, answers)
    if as_json:
        keys = ("name", "what_for", "word", "reason", "command")
        screen.document([{key: getattr(each, key) for key in keys} for each in answers])
    if any(each.word != "yes" for each in answers if each.name in {"veth", "bridge"}):
        raise typer.Exit(1)


@lab_app.command(hidden=True)
def enter(command: Annotated[list[str], typer.Argument(help="The command; write -- before it.")]) -> None:
    """Run a command where an ordinary user's runs are: as root of a user namespace. For scripts and tests."""
    from nettune import unprivileged

    unprivileged.become(command, places())


@lab_app.command()
def reap(
    inventory: Annotated[Path | None, typer.Option(help="On the machines of this file too.", metavar="FILE")] = None,
    cluster: Annotated[
        Path | None, typer.Option(help="On the nodes to which this cluster's file gives SSH too.", metavar="FILE")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Remove what dead runs left here and on the nodes of their labs; labs of living runs stay."""
    from nettune import able, wiring

    screen = Screen(quiet=as_json)
    done = wiring.reap(places())
    for each in done:
        what = f"removed {', '.join(each.removed)}" if each.removed else "nothing of it is left"
        screen.line(f"lease {each.lease_id}: {each.problem or what}", "red" if each.problem else "")
    told = able.left(inventory, cluster)
    for line in told:
        screen.line(line)
    if not done and not told:
        screen.line("nothing to reap")
    if as_json:
        rows: list[dict[str, object]] = [
            {"lease": each.lease_id, "removed": list(each.removed), "problem": each.problem} for each in done
        ]
        rows += [{"told": line} for line in told]
        screen.document(rows)
    if any(each.problem for each in done):
        raise typer.Exit(1)
