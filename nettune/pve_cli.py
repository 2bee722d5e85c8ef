"""The verbs of `nettune pve`."""

from dataclasses import asdict
from typing import Annotated

import typer

from nettune.say import Screen

pve_app = typer.Typer(help="Proxmox VE: what a plan asks of a cluster, and whether it is there.", no_args_is_help=True)


@pve_app.command()
def check(
    plan: Annotated[str, typer.Argument(help="A plan with provider: proxmox.", metavar="PLAN")],
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Whether a cluster has what a plan asks for: privileges, node, storage, bridge, template, pool.

    Changes nothing there. Exits with 1 where something is missing, with the commands that make it.
    """
    from bench.pve import preflight
    from bench.pve.client import Client
    from bench.pve.deployment import load
    from bench.pve.wire import Https
    from nettune import wiring
    from results.errors import WrongInput

    screen = Screen(quiet=as_json)
    loaded = wiring.load_plan(plan, [])
    if loaded.deployment is None:
        raise WrongInput(f"plan {loaded.name} asks nothing of a Proxmox VE", hint="lab: {provider: proxmox, …}")
    access = load(loaded.deployment.cluster).access
    client = Client(Https(access))
    rows = preflight.checked(client, loaded.deployment, loaded.topologies, access.who)
    screen.table(
        f"{loaded.name} at {access}", ("what", "state", "why"), [(row.what, row.word, row.why) for row in rows]
    )
    lacking = [row for row in rows if row.word != "there"]
    for row in lacking:
        if row.command:
            screen.line(row.command)
    if any(row.what.startswith("privileges") for row in lacking):
        screen.line("\nor all that it takes, for root on a node:", "bold")
        version = int(rows[0].what.split()[-1].split(".")[0])
        for line in preflight.setup(loaded.deployment, loaded.topologies, access.who, version):
            screen.line(line)
    if as_json:
        screen.document([asdict(row) for row in rows])
    if lacking:
        raise typer.Exit(1)
