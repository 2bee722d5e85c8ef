"""The verbs of `nettune offload`: validate a NIC's offloads, compare two validations."""

from pathlib import Path
from typing import Annotated

import typer

from nettune.places import places
from nettune.say import Screen

offload_app = typer.Typer(
    help="Hardware offloads: whether they are real, correct, worth it and stable.", no_args_is_help=True
)
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


@offload_app.command()
def validate(
    plan: Annotated[str, typer.Argument(help="A plan whose path is taken (see `plans`), or a YAML file.")] = "nic",
    *,
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value of the plan.")] = None,
    inventory: Annotated[str, typer.Option(help="Machines that already stand (docs/hosts.md).", metavar="FILE")] = "",
    pair: Annotated[str, typer.Option(help="The devices: end or machine, dot, device.", metavar="a.eth1,b.eth1")] = "",
    nic: Annotated[str, typer.Option(help="The one under test: its end, or end and device.", metavar="a.eth1")] = "a",
    levels: Annotated[
        str, typer.Option(help="inventory,negotiation,function,engaged,benefit,stability,restored or 1 to 7.")
    ] = "",
    only: Annotated[str, typer.Option("--features", help="These alone are toggled.", metavar="NAME,…")] = "",
    require: Annotated[str, typer.Option(help="Exit with 1 unless these work.", metavar="NAME,…")] = "",
    soak: Annotated[str, typer.Option(help="Load both ways for so long.", metavar="10m")] = "",
    payload_mb: Annotated[
        int, typer.Option("--payload-mb", min=0, max=100_000, help="Of a bulk case; 16.8 when not given.")
    ] = 0,
    console: Annotated[
        bool, typer.Option("--i-have-a-console", help="Though our SSH, corosync or storage rides on the NIC.")
    ] = False,
    seed: Annotated[int | None, typer.Option(min=0, help="Of payload, ports and order.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for offload.json, offload.html, offload.xml.")] = None,
    store: Annotated[str, typer.Option(help="Results: a file or database URL (or NETTUNE_STORE).")] = "",
    as_json: JsonOption = False,
) -> None:
    """Toggle every offload of a NIC, compare payload, look at packets, measure, soak, and put all back.

    Exit code 1: payload is corrupted, dropped or hangs, a feature stays on though off, the NIC is not as it was, or one
    that is required does not work.
    """
    from nettune import unprivileged

    screen, where = Screen(quiet=as_json), places(store)
    if not inventory and not unprivileged.elsewhere(plan):
        unprivileged.enter(where)
    from nettune import offload, offload_asked, offload_said
    from results.store import opened
    from tuning.offload.document import document, failed

    asked = offload_asked.wish(
        plan, sets or (), inventory=inventory, pair=pair, nic=nic, levels=levels, only=only, required=require,
        soak=soak, payload_mb=payload_mb, console=console, seed=seed,
    )  # fmt: skip
    with opened(where.store) as kept:
        found = offload.validated(asked, where, kept, screen)
    offload_said.told(screen, found, asked.required)
    if out is not None:
        screen.line("  ".join(str(path) for path in offload_said.written(found, asked.required, out)))
    if as_json:
        screen.document(document(found, asked.required))
    if failed(found, asked.required):
        raise typer.Exit(1)


@offload_app.command()
def compare(
    one: Annotated[Path, typer.Argument(help="offload.json of a validation, or its folder.")],
    other: Annotated[Path, typer.Argument(help="That of another NIC, driver, firmware or kernel.")],
    as_json: JsonOption = False,
) -> None:
    """Two validations side by side: what differs in the NICs, their partners and paths, and in what was found."""
    from nettune import offload_said
    from tuning.offload.comparing import comparison

    screen = Screen(quiet=as_json)
    sides = (offload_said.loaded(one), offload_said.loaded(other))
    offload_said.compared(screen, *sides)
    if as_json:
        screen.document(comparison(*sides))
