"""The queueing discipline of the path's devices: at the root, or at every leaf of mq where a device has many queues.

Only what the kernel itself put there is exchanged, and only where deleting what was set brings exactly that back: the
kernel gives a device what net.core.default_qdisc says then. A qdisc that somebody made has a handle, and may hold
classes and filters that no listing can re-create: it is left alone.
"""

import itertools
import re
from collections.abc import Mapping, Sequence

from bench.facts.sheet import Difference, Sheets
from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.labs.capability import loads_nothing
from bench.labs.lab import Lab, PathDevice, Target
from tuning.knobs.knob import Change, NotSettable

KINDS = ("fq", "fq_codel", "codel", "cake", "sfq", "pfifo", "bfifo", "pfifo_fast", "noqueue")
_BUILT_IN = ("pfifo", "bfifo", "pfifo_fast", "noqueue")  # net/sched/sch_fifo.c and sch_generic.c: never modules
_MQ_HANDLE = "1:"
_DEFAULT = "net.core.default_qdisc"  # of the whole machine: a namespace has no file for it (net_core_table)
# A tap, which ends with its namespace, gets the default as a NIC does (attach_one_default_qdisc); a veth noqueue.
_TAP = "ip tuntap add dev try mode tap && ip link set try up && tc qdisc show dev try root"


class Qdisc:
    """`qdisc: fq_codel`, `qdisc: pfifo limit 200`."""

    kind = "qdisc"
    target: Target = "path"

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return key.startswith("qdisc/")

    def words(self) -> Sequence[str]:
        """See Knob.words."""
        return ("qdisc",)

    def takes(self, setting: str) -> bool:
        """See Knob.takes."""
        return setting == "qdisc"

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        words = value.split()
        if not words or words[0] not in KINDS:
            return f"{setting} {value!r} is none of {', '.join(KINDS)}, with options of tc(8) behind it"
        if len(words) % 2 == 0 or not all(re.fullmatch(r"[a-z0-9_.]{1,20}", word) for word in words):
            return f"{setting} {value!r}: options come in pairs, as in 'pfifo limit 200'"
        return ""

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes. More than one transmit queue: a leaf each below mq, never one root that all would share."""
        del setting
        found: list[Change] = []
        for each in lab.devices(target):
            if not each.counts:
                continue  # a bridge's own is not on the path of what it forwards
            facts = now[each.host.name].facts
            there = facts.get(f"qdisc/{each.device}/root", "")
            if there.split()[1:2] != ["0:"]:
                raise NotSettable(
                    f"not settable here: somebody gave {each.host.name}/{each.device} the qdisc {there!r}, and what "
                    "hangs on it could not be put back exactly"
                )
            _comes_back(each, facts)
            _addable(each.host, value)
            found += _on(each, value, int(facts.get(f"link/{each.device}/num_tx_queues", "1")))
        if not found:
            raise NotSettable(f"not settable here: this topology has no device on the target {target!r}")
        return tuple(found)

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes. Undo of a root is its removal: the kernel's own comes back, leaves and all."""
        commands = []
        for change in changes:
            _, device, place = change.key.split("/", 2)
            words = change.wanted.split()
            if words[1:2] == ["0:"]:
                commands.append(Command(("tc", "qdisc", "del", "dev", device, *place.split())))
                continue
            handle = ("handle", _MQ_HANDLE) if words[0] == "mq" else ()
            commands.append(Command(("tc", "qdisc", "replace", "dev", device, *place.split(), *handle, *words)))
        return tuple(commands)

    def holds(self, wanted: str, actual: str | None) -> bool:
        """See Knob.holds. tc prints every option in units of its own ("limit 200p"): those wanted are looked for."""
        if actual is None or wanted == actual:
            return actual is not None
        words, said = wanted.split(), actual.split()
        # The kernel's own mq has no handle, so that nothing can be hung below its queues.
        if words[0] != said[0] or words[1:2] == ["0:"] or (words[0] == "mq" and said[1:2] == ["0:"]):
            return False
        known = dict(itertools.pairwise(said[2:]))
        return all(
            _amount(known.get(name, "")) == _amount(amount)
            for name, amount in zip(words[1::2], words[2::2], strict=True)
        )

    def explains(self, setting: str, difference: Difference) -> bool:
        """See Knob.explains. A link names its qdisc too."""
        del setting
        return self.owns(difference.key) or re.fullmatch(r"link/[^/]+/qdisc", difference.key) is not None

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        return f"tc {setting} replace dev DEVICE root {value}   # with more than one queue: parent MQ:1, MQ:2, …"

    def risk(self, setting: str) -> str:
        """See Knob.risk."""
        del setting
        return "packets that wait in the old queue are dropped once; a rate limit of Proxmox is a qdisc too"


def _on(device: PathDevice, value: str, queues: int) -> list[Change]:
    root = f"qdisc/{device.device}/root"
    if queues == 1:
        return [Change(device.host.name, root, value)]
    leaves = (f"qdisc/{device.device}/parent {_MQ_HANDLE}{number:x}" for number in range(1, queues + 1))
    return [Change(device.host.name, root, "mq"), *(Change(device.host.name, leaf, value) for leaf in leaves)]


def _comes_back(device: PathDevice, facts: Mapping[str, str]) -> None:
    """Raises NotSettable where the kernel would put another qdisc in the place of ours than the one it has there now.

    `noqueue` is the device's own, whatever the default is; below the kernel's mq stand leaves of the default kind.
    """
    there = {value.split()[0] for key, value in facts.items() if key.startswith(f"qdisc/{device.device}/")}
    kinds = sorted(there - {"noqueue", "mq", "ingress", "clsact"})
    default = (facts.get(f"sysctl/{_DEFAULT}") or _default(device.host)) if kinds else ""
    if kinds in ([], [default]):
        return
    where, kind = f"{device.host.name}/{device.device}", " and ".join(kinds)
    if not default:
        raise NotSettable(
            f"not settable here: {where} has the qdisc {kind}, and whether it would come back is not known: {_DEFAULT} "
            "is not to be read in a namespace"
        )
    raise NotSettable(
        f"not settable here: {where} has the qdisc {kind}, and would get {default} back ({_DEFAULT} was changed since "
        f"it came up). sysctl -w {_DEFAULT}={kinds[0]}, or give it today's: tc qdisc replace dev {device.device} root "
        f"pfifo; tc qdisc del dev {device.device} root"
    )


def _default(host: Host) -> str:
    """The kind that a device gets now, found out by a tap that is thrown away; "" where that cannot be made."""
    if not loads_nothing(host, "tun"):
        return ""
    told = host.run(Command(("unshare", "--net", "sh", "-c", _TAP)))
    found = re.match(r"qdisc (\S+) 0:", told.stdout) if told.ok else None
    return found[1] if found else ""


def _addable(host: Host, value: str) -> None:
    """Try it on a loopback that is thrown away with its namespace; raises NotSettable with what tc says of it."""
    kind = value.split(maxsplit=1)[0]
    if kind not in _BUILT_IN and not loads_nothing(host, f"sch_{kind}"):
        raise NotSettable(
            f"not settable here: module sch_{kind} is there but not loaded, and nettune loads none. "
            f"modprobe sch_{kind}  # stays loaded until reboot, for the whole machine"
        )
    tried = host.run(Command(("unshare", "--net", "tc", "qdisc", "replace", "dev", "lo", "root", *value.split())))
    if not tried.ok:
        said = (tried.stderr.strip().splitlines() or [f"tc exits with {tried.returncode}"])[0]
        raise NotSettable(f"not settable here: this kernel does not take the qdisc {value!r}: {said}")


def _amount(text: str) -> float | str:
    """`200`, `200p`, `5ms`, `5.0ms`: the number alone, since tc adds the unit that it prefers."""
    found = re.match(r"[0-9.]+", text)
    return float(found.group()) if found and found.group().count(".") < 2 else text
