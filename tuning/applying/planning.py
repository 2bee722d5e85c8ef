"""What a profile would change on one host, who rides on that, and what forbids it. Writes nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bench.facts import cluster, irqs, pve_firewall, pve_tasks, vm_nics
from bench.facts.riding import Riding
from bench.facts.roles import WORDS, Role
from bench.facts.scope import device_of
from bench.facts.sheet import Difference, Sheets
from bench.hosts.host import Host
from bench.labs.hosts import near
from bench.labs.lab import Endpoint, Lab, PathDevice
from bench.labs.topology import Topology
from results.errors import NotAble
from tuning import standings
from tuning.applying import legs
from tuning.bearing import disruption
from tuning.knobs import presence
from tuning.knobs.catalogue import entries_for
from tuning.knobs.entry import Disruption
from tuning.knobs.knob import Change, NotSettable
from tuning.knobs.pve_firewall import HostFirewall, kept
from tuning.knobs.sysctl import cuts_off
from tuning.knobs.table import BY_ITSELF, KNOBS, knob_for, owner
from tuning.profile import Profile

ROLES: tuple[str, ...] = WORDS
_FIREWALL = "pve-firewall"
_NEVER = "it is never changed"
_ORDER = {kind: place for place, kind in enumerate(KNOBS)}


@dataclass(frozen=True, slots=True)
class Row:
    """One fact that would be set. `rides`: what rides on its device; nothing of what is the whole host's."""

    setting: str
    change: Change
    now: str
    disruption: str
    rides: tuple[Role, ...]


@dataclass(frozen=True, slots=True)
class Planned:
    """The change of one host; `left_out` and `refused` are (setting, why).

    `options`: those of `nettune apply` that would allow all that is refused; none where nothing allows it.
    """

    host: Host
    lab: Lab
    baseline: Sheets
    riding: Riding
    rows: tuple[Row, ...]
    settings: tuple[tuple[str, str], ...]  # those that change something, (setting, value)
    left_out: tuple[tuple[str, str], ...]
    refused: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...] = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """In writing order."""
        return tuple(sorted((row.change for row in self.rows), key=lambda change: _ORDER[owner(change.key).kind]))

    @property
    def waves(self) -> tuple[tuple[Change, ...], ...]:
        """The changes in writing order on each device, those that reset a NIC never on two legs of a bond at once."""
        resets = {row.change for row in self.rows if row.disruption >= "d3"}
        return legs.waves(self.changes, resets, self.riding.stack)

    @property
    def disturbs(self) -> bool:
        """True where packets or links may be lost for a while: more than new sockets feel it."""
        return any(row.disruption >= "d2" for row in self.rows)

    def explains(self, difference: Difference) -> bool:
        """True where one of the settings is expected to move that fact, by itself or by what the kernel couples."""
        return any(
            (knob := knob_for(word)) is not None and knob.explains(word, difference) for word, _ in self.settings
        )


def planned(
    host: Host,
    profile: Profile,
    devices: Collection[str],
    riding: Riding,
    *,
    allow: Collection[str] = (),
    most: Disruption = "d2",
    keep: bool = False,
    vms: Sequence[str] = (),
) -> Planned:
    """The plan, by the host's state as it is now. Raises HostFault, NotAble for an answer that cannot be read.

    `allow`: roles (ROLES) that may ride on a device that is changed; `most`: the greatest disruption that is allowed;
    `keep`: the change is to outlive a boot; `vms`: ids of those whose virtual NICs the profile is for too.
    """
    lab = lab_of(host, devices, riding, vms)
    now = lab.read()
    _there(host, now[host.name].facts, vms)
    there = standings.of_host(host.name, now[host.name].facts, tuple(devices))
    owners = presence.owners(host)
    rows: list[Row] = []
    settings: list[tuple[str, str]] = []
    left_out: list[tuple[str, str]] = []
    bars: list[tuple[str, _Bar]] = []
    for each in standings.standings(profile, there):
        word, value = each.setting.setting, each.setting.value
        if each.word != "changes":
            left_out.append((word, standings.said(each)))
            continue
        if cuts_off(word):
            bars.append((word, _Bar(_NEVER)))
            continue
        try:
            mine = _rows(lab, word, value, now)
        except NotSettable as error:
            left_out.append((word, str(error)))
            continue
        twice = [each.change.key for each in mine if each.change.key in {row.change.key for row in rows}]
        bar = _Bar(f"another setting of the profile sets {twice[0]} too") if twice else None
        bar = bar or _forbidden(word, mine, owners, allow, most, keep=keep)
        bars += [(word, bar)] if bar.why else []
        rows += mine
        settings.append((word, value))
    bars += [(word, _Bar(why)) for word, why in (*fenced(host, rows, riding), *_interrupting(host, rows))]
    for bond, left in legs.at_once([row.change for row in rows], now[host.name].facts, riding.stack).items():
        options = tuple(("--device", leg) for leg in left)
        said = " ".join(" ".join(each) for each in options)
        why = f"{bond} would reset {', '.join(left)} at the same moment: one after the other with {said} as well"
        bars.append(("mtu", _Bar(why, options)))
    refused = tuple((word, bar.why) for word, bar in bars)
    return Planned(host, lab, now, riding, tuple(rows), tuple(settings), tuple(left_out), refused, _options(bars))


@dataclass(frozen=True, slots=True)
class _Bar:
    """Why a setting is refused, "" where it is not; `options` allow it, none where nothing does."""

    why: str = ""
    options: tuple[tuple[str, str], ...] = ()


def _options(bars: Sequence[tuple[str, _Bar]]) -> tuple[tuple[str, str], ...]:
    """All that would allow all of it, each once, of disruptions the greatest; none where nothing would."""
    if not all(bar.options for _, bar in bars):
        return ()
    found = dict.fromkeys(sorted({each for _, bar in bars for each in bar.options}))
    most = max((value for name, value in found if name == "--disruption"), default="")
    return tuple(each for each in found if each[0] != "--disruption" or each[1] == most)


def lab_of(host: Host, devices: Collection[str], riding: Riding, vms: Sequence[str] = ()) -> Lab:
    """One host as knobs see it: all of it, these devices and VMs, whatever a setting's target says."""
    links = riding.stack.links
    bridges = {name for name in devices if name in links and links[name].kind == "bridge"}
    named = tuple(devices)
    return Lab(
        topology=Topology("standing"),
        endpoints=(Endpoint(host, named[0] if named else "lo", ""),),
        nodes=(),
        path=tuple(PathDevice(host, name, counts=name not in bridges) for name in named),
        machine=host,
        guard_s=1.0,
        roles={host.name: tuple(each for each in riding.ridden if each.device in named)},
        scope={host.name: near(named, riding.stack)},
        interrupts=frozenset() if host.run(irqs.BALANCER).ok else frozenset({host.name}),
        of_pve={host.name: tuple(vms)} if host.run(pve_firewall.IS_NODE).ok else {},
    )


def _rows(lab: Lab, word: str, value: str, now: Sheets) -> list[Row]:
    """What the setting would change. Raises NotSettable."""
    knob = knob_for(word)
    if knob is None:
        raise NotSettable(f"{word!r} is no knob that nettune knows")
    costs = disruption(word)
    found = []
    changes = knob.changes(word, value, lab, "path", now)
    for each in kept(changes, now) or changes:
        was = now[each.host].facts.get(each.key)
        if owner(each.key).holds(each.wanted, was):
            continue
        rides = tuple(role for role in lab.roles[each.host] if role.device == device_of(each.key))
        found.append(Row(word, each, was or "", costs, rides))
    return found


def _there(host: Host, facts: Mapping[str, str], vms: Sequence[str]) -> None:
    """Raise NotAble for a VM that is not on that host."""
    for each in vms:
        if not any(key.startswith(f"{vm_nics.PREFIX}{each}/") for key in facts):
            raise NotAble(
                f"on {host.name}: there is no VM {each} with a virtual NIC",
                hint="qm list, there: is that its node, and a node of Proxmox VE at all?",
            )


def fenced(host: Host, rows: Sequence[Row], riding: Riding) -> list[tuple[str, str]]:
    """Why no device that carries corosync may be touched, whatever is allowed: the watchdog is faster than a guard."""
    carrying = [row for row in rows if any(role.role == "corosync" for role in row.rides)]
    # What acts on the whole host, as a filter of reverse paths or forwarding does, acts on every ring.
    whole = [row for row in rows if not device_of(row.change.key) and row.disruption >= "d4"]
    if not carrying and not whole:
        return []
    told = cluster.parse(host.run(cluster.QUESTION).require().stdout)
    touched = {device_of(row.change.key) for row in carrying}
    stack = riding.stack
    apart = [ring for ring in told.rings if ring.up and ring.address and (on := stack.holding(ring.address))
             and not whole and not touched & {on, *stack.below(on)}]  # fmt: skip
    if not told.fences or apart:
        return []
    ways = "it acts on the whole host" if whole else f"corosync has no other ring than by {', '.join(sorted(touched))}"
    why = (
        f"{ways}, and HA is {told.ha} on {told.node}: cut off it is fenced after "
        "about 60 s, before anything is put back. First: ha-manager crm-command node-maintenance enable "
        f"{told.node}, and wait until its services have moved; or a second ring"
    )
    return [((whole or carrying)[0].setting, why)]


def _interrupting(host: Host, rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Why no link may go down now: a migration or a backup would be lost with it."""
    resets = [row for row in rows if row.disruption >= "d3"]
    found = pve_tasks.running(host.run(pve_tasks.QUESTION)) if resets else ()
    return [(resets[0].setting, f"{', '.join(found)} runs there: once that has ended")] if found else []


def _forbidden(
    word: str, rows: Sequence[Row], owners: Collection[str], allow: Collection[str], most: str, *, keep: bool
) -> _Bar:
    """Why it must not be set: what nothing allows, or all that must be allowed."""
    entries = entries_for(word)
    kinds = {owner(row.change.key).kind for row in rows}
    of_firewall = HostFirewall.kind in kinds
    theirs = [each for each in owners if each != _FIREWALL or not of_firewall]
    if owned := [each.owner for each in entries if each.owner in theirs]:
        none = f", and no option of {pve_firewall.HOST_FW} is for it" if owned[0] == _FIREWALL else ""
        return _Bar(f"{owned[0]} writes it there{none}: leave it to that")
    if any(each.policy == "X" for each in entries):
        return _Bar(_NEVER)
    found: list[tuple[str, tuple[str, str]]] = []
    if of_firewall and not keep:
        why = f"{_FIREWALL} writes it there every ten seconds: --persist puts it into {pve_firewall.HOST_FW}"
        found.append((why, ("--persist", "")))
    elif kinds & BY_ITSELF and not keep:
        why = "the VM's configuration keeps it over every boot: --persist says that this is meant"
        found.append((why, ("--persist", "")))
    costs = disruption(word)
    if costs > most:
        found.append((f"its disruption is {costs}: --disruption {costs} allows it", ("--disruption", costs)))
    ridden = {role.role: role.why for row in reversed(rows) for role in reversed(row.rides) if role.role not in allow}
    for role, why in sorted(ridden.items(), key=lambda each: ROLES.index(each[0])):
        found.append((f"{why}: --allow {role} says that this is known", ("--allow", role)))
    return _Bar("; ".join(why for why, _ in found), tuple(option for _, option in found))
