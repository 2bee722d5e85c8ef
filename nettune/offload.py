"""Joins a validation with its lab, journal and store: stands the pair, has it validated, and runs what it is worth."""

import contextlib
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench import document, ready
from bench.hosts.local import Local
from bench.labs import lease
from bench.labs.lab import Lab
from bench.labs.provider import provided
from bench.plan import Plan
from nettune import outputs, seeds
from nettune.places import Places
from nettune.say import Screen
from nettune.times import seconds
from nettune.watch import Watch
from nettune.wiring import Order, carry_out, load_plan, stored_plan
from results.errors import NotAble, WrongInput
from results.store import Store
from tuning import guard
from tuning.journal import kept
from tuning.knobs import feature
from tuning.network_guards import NetworkGuards
from tuning.offload import benefit, cases, features, validating
from tuning.offload.evidence import LEVELS, Benefit, Level, Validation
from tuning.offload.validating import Seen, Wanted

_DEVICE = re.compile(r"[^/\s,]{1,15}")
_TOGGLE_S = 10.0  # the longest that a toggle may take, for the guard of a machine that stands


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for: the plan of the path, the levels and features, and what may be done for that."""

    plan: Plan
    wanted: Wanted
    required: tuple[str, ...]
    console: bool = False


def wish(
    name: str,
    sets: Sequence[str],
    *,
    inventory: str,
    pair: str,
    nic: str,
    levels: str,
    only: str,
    required: str,
    soak: str,
    payload_mb: int,
    console: bool,
    seed: int | None,
) -> Wish:
    """The words of the command line. Raises WrongInput naming the option and the nearest word."""
    standing = [f"lab={{provider: hosts, inventory: {inventory}}}", "topologies=[standing]"] if inventory else []
    plan = load_plan(name, [*standing, *sets])
    if len(plan.topologies) != 1:
        raise WrongInput(f"offload validate takes one path, and plan {plan.name} has {len(plan.topologies)}",
                         hint="--set topologies=[direct]")  # fmt: skip
    soak_s = seconds("--soak", soak) or 0.0
    ends = _ends(plan)
    devices = _pair(pair, ends)
    end, device = (ends[nic], "") if nic in ends else _named(nic, "--nic", ends)
    if device and devices.get(end, device) != device:
        raise WrongInput(f"--nic {nic!r} and --pair {pair!r} name two devices of end {end}",
                         hint="name it in one of them")  # fmt: skip
    devices |= {end: device} if device else {}
    wanted = Wanted(
        end,
        devices,
        _levels(levels, soak=bool(soak_s)),
        _features(only, "--features"),
        payload_mb * 1_000_000 if payload_mb else cases.BULK_BYTES,
        soak_s,
        seeds.dealt() if seed is None else seed,
    )
    return Wish(plan, wanted, _features(required, "--require"), console)


def _ends(plan: Plan) -> dict[str, str]:
    """The end of each name that the command line may give it: its letter, and where it stands as its `ssh` has it."""
    machines = [(each.login.address, each.name) for each in plan.inventory.ends] if plan.inventory is not None else []
    own = dict(machines) if len(dict(machines)) == len(machines) else {}  # two NICs of one machine: letters alone
    return {**own, "a": "a", "b": "b"}


def _pair(text: str, ends: Mapping[str, str]) -> dict[str, str]:
    """The devices by end. Raises WrongInput where it is not one of each end."""
    devices: dict[str, str] = {}
    for word in text.split(",") if text else ():
        end, device = _named(word.strip(), "--pair", ends)
        if end in devices:
            raise WrongInput(f"--pair {text!r} names two devices of end {end}", hint="a pair has the ends a and b")
        devices[end] = device
    return devices


def _named(word: str, option: str, ends: Mapping[str, str]) -> tuple[str, str]:
    """The end and the device of `a.eth1`. A machine's name may have dots, and so may a device's."""
    for name in sorted(ends, key=len, reverse=True):
        device = word.removeprefix(f"{name}.")
        if device != word and _DEVICE.fullmatch(device):
            return ends[name], device
    known = ", ".join(ends)
    raise WrongInput(f"{option} {word!r} names no device of an end: there are {known}",
                     hint="a.eth1: the end, a dot, its device; a pair has the ends a and b")  # fmt: skip


def _levels(text: str, *, soak: bool) -> frozenset[Level]:
    if not text:
        return frozenset(each for each in LEVELS if each != "stability" or soak)
    found: list[Level] = []
    for word in text.split(","):
        level = next((each for number, each in enumerate(LEVELS, 1) if word.strip() in {each, str(number)}), None)
        if level is None:
            raise WrongInput(f"--levels {word!r} is none",
                             hint=document.nearest(word, LEVELS) or f"there are {', '.join(LEVELS)}")  # fmt: skip
        found.append(level)
    if "stability" in found and not soak:
        raise WrongInput("--levels stability takes a time", hint="--soak 10m")
    return frozenset(found)


def _features(text: str, option: str) -> tuple[str, ...]:
    found, unknown = features.named([word.strip() for word in text.split(",") if word.strip()])
    if unknown:
        raise WrongInput(
            f"{option} {unknown[0]!r} is no feature that a kernel up to 6.18 knows",
            hint=document.nearest(unknown[0], (*feature.KERNEL, *feature.SHORT))
            or "ethtool's short names, or the kernel's strings: `ethtool -k DEVICE`",
        )
    return found


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
        seen = validating.observe(_allowed(lab, asked), asked.wanted, journal, say=screen.progress)
    worth, run_id = _worth(asked, seen, places, store, screen) if "benefit" in asked.wanted.levels else ({}, "")
    if run_id and plan.inventory is not None and "restored" in asked.wanted.levels:
        with lease.only_run(places.state, name), contextlib.ExitStack() as stack:  # benefit's run has set the same NIC
            (lab,) = _standing(asked, stack, places, screen)[0].values()
            seen = replace(seen, left=validating.left(lab, seen))
    return replace(validating.concluded(seen, worth), run_id=run_id)


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
            hint="another NIC; or --i-have-a-console, where somebody can reach the machine without it",
        )
    return replace(lab, roles={})


def _worth(asked: Wish, seen: Seen, places: Places, store: Store, screen: Screen) -> tuple[Mapping[str, Benefit], str]:
    """What each feature without fault is worth, by a run of its own, and that run's id.

    Nothing is measured of a NIC that could not be put back, or whose payload goes wrong whatever is set.
    """
    broken = seen.left or any(each.restored for each in seen.observed)
    arms = {} if broken else benefit.treatments(seen.nic, seen.other, asked.wanted.features, without=seen.blamed)
    if not arms:
        return {}, ""
    plan = stored_plan({**asked.plan.document, "treatments": arms})
    watch = Watch(screen, plan.design.block_s)
    try:
        order = Order(plan, asked.wanted.seed, share_pct=100.0 if asked.console and plan.inventory else 0.0)
        run_id = carry_out(order, places, store, watch, say=watch.note)
    finally:
        watch.close()
    run, _, judgement = outputs.judged(store, run_id, whole=True)
    skipped = {cell.rpartition("/")[2]: why for cell, why in run.skipped}
    return benefit.judged(seen.nic, judgement, skipped), run_id
