"""Holds every arm on a standing lab, exchanges payload under it, and puts everything back: the levels but for benefit.

Toggles are treatments (tuning.treatments): journalled before the write, read back, undone, the whole state compared;
on machines that already stand each is guarded there. What is judged of it all is `judging`'s.
"""

import functools
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bench.facts.sheet import Difference, Sheets, differences
from bench.hosts.command import Command, CommandFailed, Overdue
from bench.labs.lab import Endpoint, Lab, PathDevice
from bench.probes.path_mtu import addresses
from results.errors import NotAble, WrongInput
from tuning.journal import Journal
from tuning.knobs.feature import members
from tuning.offload import (
    arms,
    bitmaps,
    blaming,
    cases,
    exchange,
    features,
    inventory,
    judging,
    known_bad,
    over,
    pair,
    soak,
)
from tuning.offload.arms import Arm, Grounds
from tuning.offload.blaming import Blame
from tuning.offload.evidence import Benefit, Level, Observed, Soaked, Toggle, Toggled, Validation
from tuning.offload.exchange import End
from tuning.offload.exchanging import Bench, as_found, check_path, may_load, passed
from tuning.offload.features import EXERCISED
from tuning.offload.inventory import Nic
from tuning.surroundings import SETTLE_S
from tuning.treatments import SettingRefused, Settings
from tuning.undoing import RestoreFailed

_OF_FEATURES: frozenset[Level] = frozenset({"negotiation", "function", "engaged", "benefit"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is validated. Devices are those nearest to the wire where none is named, features all where none is."""

    nic_end: str = "a"
    devices: Mapping[str, str] = field(default_factory=dict)  # by end
    levels: frozenset[Level] = frozenset({"inventory", "negotiation", "function", "engaged", "restored"})
    features: tuple[str, ...] = ()
    bulk_bytes: int = cases.BULK_BYTES
    soak_s: float = 0.0
    seed: int = 1


def _overs(wanted: Wanted) -> tuple[str, ...]:
    """What payload goes through: everything where no features are named."""
    return features.overs(wanted.features) if wanted.features else tuple(over.OVERS)


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything that was observed, before it is judged."""

    nic: Nic
    other: Nic
    path: str
    wanted: Wanted
    observed: tuple[Observed, ...]
    soaked: Soaked | None
    left: tuple[str, ...]  # what is not as it was before, in words
    before: Sheets = field(default_factory=dict)
    forwards: bool = False  # the NIC's packets go on to another device

    @property
    def blamed(self) -> Mapping[str, Blame]:
        """Features at fault."""
        return blaming.blamed(self.observed, self.nic, self.wanted.nic_end)

    @property
    def not_loaded(self) -> frozenset[str]:
        """Features that no run is to set at both ends: those at fault, and LRO where one of them forwards."""
        forward = any(inventory.forwards(self.before[each.host], each.device) for each in (self.nic, self.other))
        return frozenset(self.blamed) | ({"rx-lro"} if forward else frozenset())


def observe(lab: Lab, wanted: Wanted, journal: Journal, *, say: Callable[[str], None] = lambda _: None) -> Seen:
    """All levels that are wanted, but for benefit. Raises WrongInput or NotAble where nothing can be validated.

    All is as it was in any case; what could not be put back is in the journal, and said.
    """
    devices = {end.host.name: _device(lab, end, wanted) for end in (lab.a, lab.b)}
    nics = {end.host.name: inventory.asked(end.host, devices[end.host.name].device) for end in (lab.a, lab.b)}
    nic, other = nics[wanted.nic_end], nics["b" if wanted.nic_end == "a" else "a"]
    ends = (lab.a, lab.b)
    if may_load(lab, ends) and not wanted.levels.isdisjoint({"function", "engaged"}):
        for end in ends:
            for name in _overs(wanted):
                end.host.run(Command(("modprobe", "-q", over.OVERS[name].module)))
    before = lab.read()
    bench = _bench(lab, before, nic, devices, wanted, journal)
    if not wanted.levels.isdisjoint({"function", "engaged", "stability"}):
        exchange.check(bench.ends)
        check_path(bench)
    forwards = inventory.forwards(before[nic.host], nic.device)
    observed = _observed(bench, other, _listed(nic, other, wanted, forwards=forwards), wanted, say)
    soaked = soak.soaked(bench.ends, bench.mtu, wanted, say) if "stability" in wanted.levels and wanted.soak_s else None
    seen = Seen(nic, other, lab.topology.name, wanted, tuple(observed), soaked, (), before, forwards)
    return replace(seen, left=left(lab, seen)) if "restored" in wanted.levels else seen


def left(lab: Lab, seen: Seen) -> tuple[str, ...]:
    """What is not as it was before, the bitmaps of the NIC included, in words."""
    nic = seen.nic
    own = next(host for host in lab.hosts if host.name == nic.host)
    bits = bitmaps.moved(nic.bits, bitmaps.asked(own, nic.device))
    found = [str(each) for each in differences(seen.before, lab.read())]
    return (*found, *(f"{nic.host}: {nic.device}, {words}" for words in bitmaps.words(bits)))


def concluded(seen: Seen, benefits: Mapping[str, Benefit]) -> Validation:
    """What all of it amounts to, feature by feature. Pure."""
    wanted, nic, blame = seen.wanted, seen.nic, seen.blamed
    names = dict.fromkeys((*wanted.features, *sorted(nic.free), *(each for each in EXERCISED if each in nic.features)))
    rows = [
        judging.verdict(name, nic, seen.observed, wanted.nic_end, wanted.levels, blame, benefits.get(name))
        for name in names
        if (not wanted.features or name in wanted.features) and not wanted.levels.isdisjoint(_OF_FEATURES)
    ]
    looks = "engaged" in wanted.levels
    queues = pair.queue_rows(seen.observed, nic, wanted.nic_end) if looks else []
    merged = pair.merged_row(seen.observed, wanted.nic_end, blame) if looks else []
    rows = [judging.under_forwarding(row, nic, forwards=seen.forwards) for row in rows]
    rows = [*pair.payload_rows(seen.observed, wanted.nic_end, blame), *queues, *rows, *merged]
    levels = judging.levels(wanted.levels, nic, wanted.nic_end, seen.observed, rows, seen.soaked, seen.left)
    toggles = tuple(_toggle(each) for each in seen.observed if each.arm != Arm("found"))
    return Validation(
        nic,
        seen.other,
        seen.path,
        levels,
        tuple(rows),
        known_bad.hints(nic),
        (*inventory.notes(nic), *soak.notes(seen.soaked)),
        toggles,
    )


def _toggle(observed: Observed) -> Toggle:
    moved = {f"{each.host}: {each.key}": (each.before or "absent", each.after or "absent") for each in observed.moved}
    took_s = round(observed.took_s, 3)
    return Toggle(
        observed.arm.name,
        observed.toggled,
        observed.said,
        took_s,
        observed.flaps,
        moved,
        observed.bits,
        observed.restored,
    )


def _device(lab: Lab, end: Endpoint, wanted: Wanted) -> PathDevice:
    """The device of an end that is meant, else the one nearest to the wire. Raises WrongInput naming those there."""
    name = wanted.devices.get(end.host.name, "")
    there = [each for each in lab.path if each.host.name == end.host.name]
    nearest = there[-1 if end.host.name == lab.a.host.name else 0]  # the path leads from a to b
    found = next((each for each in there if each.device == name), None) if name else nearest
    if found is None:
        raise WrongInput(
            f"on {end.host.name}: {name!r} is not on the path of {lab.topology.name}",
            hint=f"--pair with {', '.join(f'{end.host.name}.{each.device}' for each in there)}",
        )
    return found


def _listed(nic: Nic, other: Nic, wanted: Wanted, *, forwards: bool) -> tuple[Arm, ...]:
    """The arms: of features that payload has nothing to do with those alone where negotiation is wanted.

    LRO is not switched on where the device forwards: what it merged could not leave (dev_disable_lro, net/core/dev.c).
    """
    if wanted.levels.isdisjoint(_OF_FEATURES):
        return ()
    listed = arms.arms(nic, other, wanted.features, exercised="negotiation" not in wanted.levels)
    return tuple(each for each in listed if not (forwards and (each.feature, each.value) == ("rx-lro", "on")))


def _bench(
    lab: Lab, sheets: Sheets, nic: Nic, devices: Mapping[str, PathDevice], wanted: Wanted, journal: Journal
) -> Bench:
    """Raises NotAble where the ends' MTUs differ."""
    mtus = {name: sheets[name].facts.get(f"link/{each.device}/mtu", "") for name, each in devices.items()}
    if len(set(mtus.values())) > 1:
        told = ", ".join(f"{name}.{each.device} has {mtus[name]}" for name, each in devices.items())
        raise NotAble(f"the ends' MTUs differ: {told}", hint="give both the same; a larger one hides what passes")
    ends = tuple(
        End(
            end.host,
            devices[end.host.name].device,
            _addresses(end, sheets),
            sheets[end.host.name].facts.get(f"link/{end.device}/address", ""),
        )
        for end in (lab.a, lab.b)
    )
    for end in (lab.a, lab.b):
        if end.address not in [each for each, _ in addresses(sheets, end.host.name, end.device)]:
            raise NotAble(f"on {end.host.name}: {end.device} has not got the address {end.address} of the path",
                          hint=f"ip address show dev {end.device}")  # fmt: skip
    families = [ip for ip in (4, 6) if all(ip in end.addresses for end in ends)]
    mtu = int(mtus[lab.a.host.name] or 1500)
    listed = cases.of(wanted.bulk_bytes, families=families, raw=_on_one_link(lab))
    at = {end.host.name: end for end in (lab.a, lab.b)}
    own = at.pop(nic.host)
    other = next(iter(at.values()))
    narrowed = replace(
        lab,
        endpoints=(own,),
        nodes=(other.host,),
        path=(devices[own.host.name], devices[other.host.name]),
    )
    seeds = random.Random(wanted.seed)  # noqa: S311 - of payload, no secret
    negotiates = "negotiation" in wanted.levels
    return Bench(narrowed, (ends[0], ends[1]), listed, mtu, nic, journal, seeds, wanted.bulk_bytes, negotiates)


def _addresses(end: Endpoint, sheets: Sheets) -> dict[int, str]:
    """One by family, the one that the lab uses first."""
    found = {family: address for address, family in reversed(addresses(sheets, end.host.name, end.device))}
    return {**found, (6 if ":" in end.address else 4): end.address}


def _on_one_link(lab: Lab) -> bool:
    """Whether frames from one end reach the other as they are: no router is between them."""
    told = lab.a.host.run(Command(("ip", "route", "get", lab.reached(lab.a, lab.b))))
    return told.ok and " via " not in told.stdout


def _observed(
    bench: Bench, other: Nic, listed: Sequence[Arm], wanted: Wanted, say: Callable[[str], None]
) -> list[Observed]:
    """Every arm, and the pair as found once more at the end; none after one that could not be put back."""
    grounds = arms.grounds(bench.nic, other)
    baseline = bench.lab.read()
    found: list[Observed] = []
    loads = not wanted.levels.isdisjoint({"function", "engaged"})
    again = [Arm("found")] if loads and listed else []
    apart = tuple(features.VLANS) if grounds.differs("vlans") else ()
    through = tuple(each for each in _overs(wanted) if each not in apart)
    of_toggles = features.overs([arm.feature for arm in listed])
    ill: tuple[str, ...] = ()  # what payload goes wrong through: each toggle may be what cures it
    for arm in (*listed, *again):
        if any(each.arm == Arm(arm.ground) and each.toggled != "ok" for each in found):
            found.append(Observed(arm, "not tried", f"the pair cannot be brought to: {Arm(arm.ground).name}"))
            continue
        say(arm.name)
        exercise = loads and (not arm.feature or arm.feature in EXERCISED)
        if arm.feature or arm.ground != "found":
            own = features.overs([arm.feature]) if arm.feature else apart if arm.ground == "vlans" else ()
            overs = [each for each in own if each in (*through, *apart)]
            if overs or not own:  # else nothing of the feature's own kind passes
                overs += [each for each in ill if each not in overs]
            base = (
                next((each for each in found if each.arm == Arm(arm.ground)), None)
                if arm.feature
                else next(iter(found), None)
            )
            found.append(_held(bench, arm, grounds, baseline, overs if exercise else None, base))
        elif exercise:
            found.append(as_found(bench, arm, through))
            ill = ill or blaming.ill(found[-1])[: cases.ILL_OVERS]
            through = tuple(each for each in passed(found[-1]) if each in (*of_toggles, *ill))
        _still_up(bench)
        if found and found[-1].restored:
            break
    return found


def _still_up(bench: Bench) -> None:
    """Raises NotAble where a link is lost that no toggle holds down any more."""
    for end in bench.ends:
        if not _comes_up(end):
            raise NotAble(
                f"on {end.host.name}: {end.device} lost its link in mid-test",
                hint="every setting is as it was; look at the cable, the partner and the kernel's log",
            )


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
                made = replace(made, bits=bitmaps.moved(bench.nic.bits, bitmaps.asked(host, bench.nic.device)))
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


def roles(lab: Lab, ends: Collection[str]) -> tuple[str, ...]:
    """What rides on the ends' devices and forbids toggles, in words."""
    return tuple(role.why for name in ends for role in lab.roles.get(name, ()))
