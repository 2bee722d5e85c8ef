"""Validates the NIC of a standing lab by all levels but for benefit: what is asked of whom, and what it amounts to.

`holding` toggles, and `exchanging` sends payload; what is judged of it all is `judging`'s.
"""

import random
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from bench.facts.sheet import Sheets, differences
from bench.hosts.command import Command
from bench.labs.lab import Endpoint, Lab, PathDevice
from bench.probes.path_mtu import addresses
from results.errors import NotAble, WrongInput
from tuning.journal import Journal
from tuning.offload import (
    arms,
    bitmaps,
    blaming,
    cases,
    exchange,
    features,
    holding,
    inventory,
    judging,
    known_bad,
    outcomes,
    over,
    pair,
    soak,
)
from tuning.offload.arms import Arm
from tuning.offload.blaming import Blame
from tuning.offload.evidence import GOOD, Benefit, Level, Observed, Soaked, Toggle, Validation
from tuning.offload.exchange import End
from tuning.offload.exchanging import Bench, check_path, may_load
from tuning.offload.features import EXERCISED
from tuning.offload.inventory import Nic

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
        """Features that no run is to set: at fault, hung or refused as they were toggled; LRO where an end forwards."""
        forward = any(inventory.forwards(self.before[each.host], each.device) for each in (self.nic, self.other))
        stuck = {each.arm.feature for each in self.observed if each.toggled in {"hangs", "refused"}}
        return frozenset(self.blamed) | stuck | ({"rx-lro"} if forward else frozenset())

    @property
    def unfit(self) -> str:
        """Why no run is to load the pair: it was not put back, failed its soak, or payload goes wrong as found."""
        not_back = [f"{each.arm.name}: {each.restored}" for each in self.observed if each.restored]
        if said := [*not_back, *self.left]:
            return f"nothing more was measured, as not all is as it was before: {said[0]}"
        if self.soaked is not None and self.soaked.faults:
            return f"nothing more was measured, as the soak failed: {self.soaked.faults[0]}"
        rows = pair.payload_rows(self.observed, self.wanted.nic_end, self.blamed)
        bad = next((row for row in rows if row.verdict not in GOOD), None)
        why = "nothing more was measured, as payload goes wrong as found"
        return f"{why} ({bad.direction}): {bad.evidence['function']}" if bad else ""


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
    loads = not wanted.levels.isdisjoint({"function", "engaged"})
    listed = _listed(nic, other, wanted, forwards=forwards)
    observed = holding.observed(bench, other, listed, _overs(wanted) if loads else None, say)
    soaked = soak.soaked(bench.ends, bench.mtu, wanted, say) if "stability" in wanted.levels and wanted.soak_s else None
    seen = Seen(nic, other, lab.topology.name, wanted, tuple(observed), soaked, (), before, forwards)
    return replace(seen, left=left(lab, seen)) if "restored" in wanted.levels else seen


def left(lab: Lab, seen: Seen) -> tuple[str, ...]:
    """What is not as it was before, the bitmaps of the NIC included, in words."""
    nic = seen.nic
    own = next(host for host in lab.hosts if host.name == nic.host)
    bits = bitmaps.moved(nic.bits, bitmaps.asked(own, nic.device)[0])
    found = [str(each) for each in differences(seen.before, lab.read())]
    return (*found, *(f"{nic.host}: {nic.device}, {words}" for words in bitmaps.words(bits)))


def concluded(seen: Seen, benefits: Mapping[str, Benefit], unmeasured: str = "") -> Validation:
    """What all of it amounts to, feature by feature; `unmeasured` is why benefit was not measured. Pure."""
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
    grounds = pair.ground_rows(seen.observed)
    rows = [*pair.payload_rows(seen.observed, wanted.nic_end, blame), *queues, *rows, *merged, *grounds]
    levels = outcomes.levels(wanted.levels, nic, wanted.nic_end, seen.observed, rows, seen.soaked, seen.left,
                             benefits=benefits, unmeasured=unmeasured)  # fmt: skip
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


def roles(lab: Lab, ends: Collection[str]) -> tuple[str, ...]:
    """What rides on the ends' devices and forbids toggles, in words."""
    return tuple(role.why for name in ends for role in lab.roles.get(name, ()))
