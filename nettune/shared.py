"""`run --shared-link --max-share`: what the words mean, and where they make sense."""

import re

from bench.labs.sharing import SHARE_RANGE
from bench.pve.deployment import Deployment, reached
from nettune.wiring import Order
from results.errors import WrongInput
from results.records import Run

DEFAULT_PCT = 30.0
_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)\s*%?")


def read(*, given: bool, most: str) -> float:
    """The share in per cent; 0 where no link is shared. Raises WrongInput."""
    if not given:
        if most:
            raise WrongInput("--max-share is of a link that others use", hint=f"--shared-link --max-share {most}")
        return 0.0
    found = _SHARE.fullmatch(most.strip()) if most else None
    low, high = SHARE_RANGE
    share_pct = float(found[1]) if found else DEFAULT_PCT
    if (most and not found) or not low <= share_pct <= high:
        raise WrongInput(
            f"--max-share {most}: a share is {low:g}% to {high:g}% of the link's slowest speed",
            hint=f"--max-share {DEFAULT_PCT:g}%",
        )
    return share_pct


def checked(order: Order) -> Order:
    """The order, whose plan is measured on links that can be shared. Raises WrongInput for another lab's."""
    if order.share_pct and order.plan.deployment is not None:
        _between_nodes(order.plan.name, order.plan.deployment)
    elif order.share_pct and order.plan.inventory is None:
        raise WrongInput(
            f"--shared-link: plan {order.plan.name} builds its lab itself, and nobody else uses a link of that",
            hint="leave it out; it is for lab: {provider: hosts, inventory: FILE}, and for VMs on two nodes",
        )
    return order


def _between_nodes(name: str, of: Deployment) -> None:
    """The VMs' load leaves nodes that can be asked and watched. Raises WrongInput."""
    if len(set(of.placed)) == 1:
        raise WrongInput(
            f"--shared-link: both VMs of plan {name} are on {of.nodes[0]}, and nothing of their load leaves it",
            hint="leave it out; or nodes: of two",
        )
    silent = [each for each in of.placed if each not in reached(of.cluster)]
    if of.sited and silent:
        raise WrongInput(
            f"--shared-link: the cluster's file gives no SSH of {', '.join(silent)}, and who watches a shared link "
            "are the nodes that load leaves by it",
            hint=f"nodes: {{{silent[0]}: {{ssh: ssh://root@{silent[0]}}}}}",
        )


def kept(run: Run, share_pct: float) -> float:
    """The share that a run began with, which the rest of it keeps. Raises WrongInput where another one is asked for."""
    began_with = float(run.machine.get("max share", "0").partition(" ")[0])
    if share_pct and share_pct != began_with:
        raise WrongInput(
            f"run {run.run_id} began with {f'a share of {began_with:g}%' if began_with else 'no shared link'}, "
            "and --resume goes on with that",
            hint="leave out --shared-link and --max-share, or start a new run",
        )
    return began_with
