"""Joins a validation with its lab, journal and store: stands the pair, has it validated, and runs what it is worth."""

import contextlib
import secrets
import time
from dataclasses import replace

from bench import ready
from bench.hosts.local import Local
from bench.labs import lease
from bench.labs.lab import Lab
from bench.labs.provider import provided
from nettune import outputs
from nettune.offload_asked import Wish
from nettune.places import Places
from nettune.say import Screen
from nettune.watch import Watch
from nettune.wiring import Order, carry_out, stored_plan
from results.errors import NotAble
from results.store import Store
from tuning import guard
from tuning.journal import kept
from tuning.network_guards import NetworkGuards
from tuning.offload import benefit, cases, validating
from tuning.offload.evidence import Benefit, Level, Validation
from tuning.offload.validating import Seen

_LOADS: frozenset[Level] = frozenset({"function", "engaged", "benefit", "stability"})
_CONSOLE = "another NIC; or --i-have-a-console, where somebody can reach the machine without it"
_TOGGLE_S = 10.0  # the longest that a toggle may take, for the guard of a machine that stands


def validated(asked: Wish, places: Places, store: Store, screen: Screen) -> Validation:
    """All levels that are wanted; the lab is gone, or as it was, when this returns or raises."""
    plan = asked.plan
    name = time.strftime("offload-%Y%m%d-%H%M%S-") + secrets.token_hex(2)
    with lease.only_run(places.state, name), contextlib.ExitStack() as stack:
        labs, _ = _standing(asked, stack, places, screen)
        folder = places.journals_of_hosts if plan.changes_others else places.journals
        journal = stack.enter_context(kept(folder / f"{name}.jsonl"))
        (lab,) = labs.values()
        if plan.inventory is not None:
            for host in lab.hosts:
                for line in guard.settled(host):
                    screen.line(line)
        if "benefit" in asked.wanted.levels:  # its run comes last: what it lacks is told before anything is toggled
            for end in (lab.a, lab.b):
                ready.check_ends(end.host, plan)
        seen = validating.observe(_allowed(lab, asked), asked.wanted, journal, say=screen.progress)
    worth, run_id, why = dict[str, Benefit](), "", ""
    if "benefit" in asked.wanted.levels:
        worth, run_id, why = _worth(asked, seen, places, store, screen)
    if run_id and plan.inventory is not None and "restored" in asked.wanted.levels:
        with lease.only_run(places.state, name), contextlib.ExitStack() as stack:  # benefit's run has set the same NIC
            (lab,) = _standing(asked, stack, places, screen)[0].values()
            seen = replace(seen, left=validating.left(lab, seen))
    return replace(validating.concluded(seen, worth, why), run_id=run_id)


def _standing(
    asked: Wish, stack: contextlib.ExitStack, places: Places, screen: Screen
) -> tuple[dict[str, Lab], list[tuple[str, str]]]:
    local, plan = Local(), asked.plan
    if not plan.elsewhere:
        ready.check_machine(local)
    share_pct = 100.0 if asked.console and plan.inventory is not None else 0.0
    exchanged = not asked.wanted.levels.isdisjoint({"function", "engaged"})
    provider = provided(
        plan.deployed,
        trial_s=_TOGGLE_S + (cases.longest_s(asked.wanted.bulk_bytes) if exchanged else 0.0),
        cache=places.cache,
        local=local,
        say=screen.line,
        share_pct=share_pct,
        guards=NetworkGuards(),
        instead="" if asked.wanted.levels.isdisjoint(_LOADS) else _CONSOLE,
    )
    return ready.standing(stack, plan, provider, local=local, leases_folder=places.leases)


def _allowed(lab: Lab, asked: Wish) -> Lab:
    """The lab, without what forbids toggles where there is a console. Raises NotAble naming what rides on a NIC."""
    ridden = validating.roles(lab, ("a", "b"))
    if not ridden or asked.wanted.levels.isdisjoint({"negotiation", "function", "engaged"}):
        return lab
    if not asked.console:
        raise NotAble(
            f"a toggle may hang a NIC, and {ridden[0]}",
            hint=_CONSOLE,
        )
    return replace(lab, roles={})


def _worth(
    asked: Wish, seen: Seen, places: Places, store: Store, screen: Screen
) -> tuple[dict[str, Benefit], str, str]:
    """What each feature without fault is worth, by a run of its own; that run's id; else why nothing was measured.

    Nothing is measured of a NIC that could not be put back, failed its soak, or whose payload goes wrong as found.
    """
    if seen.unfit:
        return {}, "", seen.unfit
    arms = benefit.treatments(seen.nic, seen.other, asked.wanted.features, without=seen.not_loaded)
    if not arms:
        return {}, "", "no feature without fault that a TCP connection feels can be changed at both ends"
    plan = stored_plan({**asked.plan.document, "treatments": arms})
    watch = Watch(screen, plan.design.block_s)
    try:
        order = Order(plan, asked.wanted.seed, share_pct=100.0 if asked.console and plan.inventory else 0.0)
        run_id = carry_out(order, places, store, watch, say=watch.note)
    finally:
        watch.close()
    run, _, judgement = outputs.judged(store, run_id, whole=True)
    skipped = {cell.rpartition("/")[2]: why for cell, why in run.skipped}
    return benefit.judged(seen.nic, judgement, skipped), run_id, ""
