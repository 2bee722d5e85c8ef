"""Holds every arm on a standing lab, has payload exchanged under it, and puts everything back.

Toggles are treatments (tuning.treatments): journalled before the write, read back, undone, the whole state compared;
on machines that already stand each is guarded there.
"""

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench.facts.sheet import Difference, Sheets, differences
from bench.hosts.command import CommandFailed, Overdue
from results.errors import NotAble
from tuning.knobs.feature import members
from tuning.offload import arms, bitmaps, blaming, cases, exchanging, features, inventory
from tuning.offload.arms import Arm, Grounds
from tuning.offload.evidence import Observed, Toggled
from tuning.offload.exchange import End
from tuning.offload.exchanging import Bench
from tuning.offload.features import EXERCISED, VLANS
from tuning.offload.inventory import Nic
from tuning.surroundings import SETTLE_S
from tuning.treatments import SettingRefused, Settings
from tuning.undoing import RestoreFailed


@dataclass(slots=True)
class _Ways:
    """What payload goes through in an arm besides the plain exchange, by what came through as found."""

    through: tuple[str, ...]
    apart: tuple[str, ...]  # VLANs, where their ground is one of its own
    of_toggles: tuple[str, ...]
    ill: tuple[str, ...] = ()  # what payload goes wrong through: each toggle may be what cures it

    def of(self, arm: Arm) -> list[str]:
        """Those of an arm that is held."""
        own = features.overs([arm.feature]) if arm.feature else self.apart if arm.ground == "vlans" else ()
        overs = [each for each in own if each in (*self.through, *self.apart)]
        if overs or not own:  # else nothing of the feature's own kind passes
            overs += [each for each in self.ill if each not in overs]
        return overs

    def learn(self, found: Observed) -> None:
        """From the pair as found. Where nothing came through a VLAN, the NIC may be what loses its tags."""
        (told,) = exchanging.told([found])
        self.ill = self.ill or blaming.ill(told)[: cases.ILL_OVERS]
        vlans = [each for each in exchanging.in_vain(found) if each in VLANS]
        through = (*exchanging.passed(found), *vlans)
        self.through = tuple(each for each in through if each in (*self.of_toggles, *self.ill))


def observed(
    bench: Bench, other: Nic, listed: Sequence[Arm], overs: Sequence[str] | None, say: Callable[[str], None]
) -> list[Observed]:
    """Every arm, and the pair as found once more at the end; `overs` is what payload goes through, None without any.

    After one that could not be put back, and once nothing passes any more as found, the rest is not tried. Raises
    NotAble where that is so at the beginning.
    """
    grounds = arms.grounds(bench.nic, other)
    baseline = bench.lab.read()
    apart = tuple(VLANS) if grounds.differs("vlans") else ()
    through = tuple(each for each in overs or () if each not in apart)
    ways = _Ways(through, apart, features.overs([arm.feature for arm in listed]))
    found: list[Observed] = []
    again = [Arm("found")] if overs is not None and listed else []
    todo = [*listed, *again]
    for number, arm in enumerate(todo):
        if any(each.arm == Arm(arm.ground) and each.toggled != "ok" for each in found):
            found.append(Observed(arm, "not tried", f"the pair cannot be brought to: {Arm(arm.ground).name}"))
            continue
        say(arm.name)
        exercise = overs is not None and (not arm.feature or arm.feature in EXERCISED)
        if arm.feature or arm.ground != "found":
            base = _base(found, arm)
            found.append(_held(bench, arm, grounds, baseline, ways.of(arm) if exercise else None, base))
        elif exercise:
            found.append(_at_first(bench, arm, ways.through) if not number else
                         exchanging.as_found(bench, arm, ways.through, again=True))  # fmt: skip
            ways.learn(found[-1])
        if number and (why := _over(bench, found, exchanges=overs is not None)):
            found += [Observed(each, "not tried", why) for each in todo[number + 1 :] if each.feature]
            break
    return exchanging.told(found)


def _base(found: Sequence[Observed], arm: Arm) -> Observed | None:
    """What an arm is compared with: its ground, and of a ground the pair as found."""
    if not arm.feature:
        return next(iter(found), None)
    return next((each for each in found if each.arm == Arm(arm.ground)), None)


def _at_first(bench: Bench, arm: Arm, overs: Sequence[str]) -> Observed:
    """The pair as found, before anything is toggled. Raises NotAble where its link is lost, or nothing passes."""
    try:
        found = exchanging.as_found(bench, arm, overs)
    except NotAble as error:
        _linked(bench, error)
        raise
    _linked(bench, None)
    return found


def _linked(bench: Bench, cause: NotAble | None) -> None:
    if said := _lost(bench):
        hint = "nothing was toggled yet: look at the cable, the partner and the kernel's log"
        raise NotAble(said, hint=hint) from cause


def _over(bench: Bench, found: list[Observed], *, exchanges: bool) -> str:
    """Why nothing more is to be tried after the last arm, "" while nothing speaks against it; what is so is noted."""
    last = found[-1]
    if lost := _lost(bench):
        said = f"{lost}, and has not got it back within {SETTLE_S:g} s"
        found[-1] = replace(last, restored="; ".join(each for each in (last.restored, said) if each))
    if exchanges and (lost or exchanging.dead(last)):
        again = exchanging.once_more(bench)
        if exchanging.silent(again):
            found.append(again)
            return f"nothing passed any more with {last.arm.name}, nor after it"
    return f"after {last.arm.name} not all was as before" if lost or last.restored else ""


def _lost(bench: Bench) -> str:
    """Which end's link is lost, in words; "" while both have theirs."""
    lost = next((end for end in bench.ends if not _comes_up(end)), None)
    return f"on {lost.host.name}: {lost.device} lost its link in mid-test" if lost else ""


def _held(
    bench: Bench, arm: Arm, grounds: Grounds, baseline: Sheets, overs: Sequence[str] | None, base: Observed | None
) -> Observed:
    """An arm, held; without exchange where there are no `overs`, not even none."""
    settings = Settings(arm.name, arm.settings(grounds), bench.journal)
    if why := settings.refusal(bench.lab, baseline):
        return Observed(arm, "not tried", why)
    host = bench.lab.a.host
    _, flaps_before = inventory.carrier(host, bench.nic.device)
    began = time.monotonic()
    made = Observed(arm)
    try:
        with settings.holds(bench.lab, baseline) as held:
            moved = _own(differences(baseline, held.within), arm, grounds)
            made = replace(made, took_s=time.monotonic() - began, moved=moved)
            up, flaps = inventory.carrier(host, bench.nic.device)  # holding it has waited for its link
            made = replace(made, flaps=flaps - flaps_before)
            if bench.negotiates:
                made = replace(made, bits=bitmaps.moved(bench.nic.bits, bitmaps.asked(host, bench.nic.device)[0]))
            if not up:
                made = replace(made, toggled="hangs", said=f"no carrier {SETTLE_S:g} s after it")
            elif overs is not None:
                plain = set(features.overs([arm.feature])) <= features.VLANS.keys()
                renew = functools.partial(settings.renew, bench.lab)
                made = bench.tried(made, overs, base, plain=plain, renew=renew)
    except RestoreFailed as error:
        before = error.__context__
        word, said = _why(before) if isinstance(before, NotAble) else (made.toggled, made.said)
        return replace(made, toggled=word, said=said, restored=str(error))
    except (SettingRefused, Overdue, CommandFailed) as error:
        word, said = _why(error)
        return replace(made, toggled=word, said=said)
    return made


def _own(moved: Sequence[Difference], arm: Arm, grounds: Grounds) -> tuple[Difference, ...]:
    """What a toggle moved itself: without what its ground asks for."""
    names = {name for spec in Arm(arm.ground).settings(grounds) for name in members(spec.setting) or (spec.setting,)}
    set_by_ground = names - {arm.feature} if arm.feature else set()
    return tuple(
        each
        for each in moved
        if not each.key.startswith("feature/") or each.key.rpartition("/")[2] not in set_by_ground
    )


def _why(error: NotAble) -> tuple[Toggled, str]:
    return ("hangs" if isinstance(error, Overdue) else "refused"), str(error)


def _comes_up(end: End) -> bool:
    """Whether an end's NIC has carrier, waited for."""
    deadline = time.monotonic() + SETTLE_S
    while not (up := inventory.carrier(end.host, end.device)[0]) and time.monotonic() <= deadline:
        time.sleep(0.05)
    return up
