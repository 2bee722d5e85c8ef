"""The verbs of `nettune pve`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from nettune.say import Screen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.labs.topology import Topology
    from bench.plan import SettingSpec
    from bench.pve.deployment import Deployment

pve_app = typer.Typer(help="Proxmox VE: what a plan asks of a cluster, and whether it is there.", no_args_is_help=True)


@pve_app.command()
def check(
    plan: Annotated[
        str, typer.Argument(help="A plan with provider: proxmox, of `run` or of `capacity`.", metavar="PLAN")
    ],
    setup: Annotated[
        bool, typer.Option("--setup", help="Print the commands that make user, roles, pool and token; ask nobody.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON on standard output.")] = False,
) -> None:
    """Whether a cluster has what a plan asks for: privileges, node, storage, bridge, template, pool.

    Changes nothing there. Exits with 1 where something is missing, with the commands that make it.
    """
    from bench.pve import deployment, preflight, privileges
    from bench.pve.access import NoSecret
    from bench.pve.client import Client
    from bench.pve.errors import NotLoggedIn
    from bench.pve.wire import Https

    screen = Screen(quiet=as_json)
    asked, topologies, places, turned = _asked(plan)
    who = deployment.who(asked.cluster)
    if setup:
        lines = privileges.setup(asked, topologies, who, 0)
        _print(screen, lines, as_json=as_json)
        return
    try:
        cluster = deployment.load(asked.cluster)
        client = Client(Https(cluster.access))
        rows = preflight.checked(client, asked, topologies, who, cluster.nodes, turned)
    except (NoSecret, NotLoggedIn):
        screen.line("nobody can log in yet; for root on a node, all that it takes:", "bold")
        _print(screen, privileges.setup(asked, topologies, who, 0))
        raise
    rows += (preflight.of_pairs(client, asked, places) if places else
             preflight.of_paths(client, asked, len(topologies)))  # fmt: skip
    rows += preflight.of_links(client, places or [asked.placed], topologies, cluster)
    screen.table(
        f"{plan} at {cluster.access}", ("what", "state", "why"), [(row.what, row.word, row.why) for row in rows]
    )
    lacking = [row for row in rows if row.word != "there"]
    for row in lacking:
        if row.command:
            screen.line(row.command)
    if any(row.what.startswith("privileges") for row in lacking):
        screen.line("\nor all that it takes, for root on a node:", "bold")
        _print(screen, preflight.setup(client, asked, topologies, who))
    if as_json:
        screen.document([asdict(row) for row in rows])
    if lacking:
        raise typer.Exit(1)


def _print(screen: Screen, lines: "Sequence[str]", *, as_json: bool = False) -> None:
    for line in lines:
        screen.line(line)
    if as_json:
        screen.document(list(lines))


def _asked(plan: str) -> "tuple[Deployment, tuple[Topology, ...], Sequence[tuple[str, str]], Sequence[str]]":
    """What a plan asks for; where its pairs stand, () for two VMs a path; treatments of nodes. Raises WrongInput."""
    from bench.capacity import plan as density
    from nettune import wiring
    from results.errors import WrongInput

    if density.is_one(plan):
        of = density.load(plan)
        if of.vms is not None:
            return of.vms.of, (of.vms.topology,), of.vms.places, ()
    elif (loaded := wiring.load_plan(plan, [])).deployment is not None:
        turned = [name for name, specs in loaded.treatments.items() if any(map(_of_node, specs))]
        return loaded.deployment, loaded.topologies, (), turned
    raise WrongInput(f"plan {plan} asks nothing of a Proxmox VE", hint="lab: {provider: proxmox, …}")


def _of_node(spec: "SettingSpec") -> bool:
    from tuning.knobs.table import knob_for

    knob = knob_for(spec.setting)
    return (spec.target or (knob.target if knob else "")) == "node"
