"""Numbers of a device that sysfs holds: steering of packets to CPUs (RPS, XPS), and how NAPI polls."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.facts.machine import in_user_namespace
from bench.facts.sheet import Difference, Sheets
from bench.facts.state import device_path
from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.labs.lab import Lab, PathDevice, Target
from tuning.knobs import steering
from tuning.knobs.knob import Change, NotSettable, OneWord

_SWITCH = {"on": "1", "off": "0"}


@dataclass(frozen=True, slots=True)
class DeviceFile(OneWord):
    """`rps_cpus: 3`, `threaded: on`: a file below /sys/class/net/DEV, or one of each queue there."""

    kind: str  # the file's name
    pattern: str  # what a value may be
    shape: str  # the same in words
    queue: str  # "rx" or "tx" for a file of each queue, "" for one of the device (NAPI)
    caution: str
    target: Target = "path"

    def owns(self, key: str) -> bool:
        """See Knob.owns."""
        return re.fullmatch(rf"(queue/[^/]+/[rt]x-[0-9]+|napi/[^/]+)/{self.kind}", key) is not None

    def problem(self, setting: str, value: str) -> str:
        """See Knob.problem."""
        words = steering.WORDS.get(setting, ())
        if value in words or re.fullmatch(self.pattern, value):
            return ""
        return f"{setting} {value!r} is no {self.shape}" + "".join(f", nor {each}" for each in words)

    def changes(self, setting: str, value: str, lab: Lab, target: Target, now: Sheets) -> tuple[Change, ...]:
        """See Knob.changes. A bridge itself has neither queues of its own nor NAPI."""
        found = []
        for each in lab.devices(target):
            if not each.counts:
                continue
            keys = self._keys(each, now)
            if not keys:
                raise NotSettable(f"not settable here: {each.host.name}/{each.device} has no {setting}{self._why()}")
            if not self.queue and not _has_napi(each.host, keys[0], now):
                raise NotSettable(
                    f"not settable here: {each.host.name}/{each.device} has no NAPI instance (a veth: by gro: on)"
                )
            if in_user_namespace(each.host) and not _written(each.host, keys[0], now):
                raise NotSettable(
                    f"not settable here: {setting} asks for the machine's root (CAP_NET_ADMIN outside of any user "
                    "namespace); run it with sudo"
                )
            wanted = [_SWITCH.get(value, value)] * len(keys)
            if value in steering.WORDS.get(setting, ()):
                wanted = steering.values(value, keys, now[each.host.name].facts, each.host)
            found += [Change(each.host.name, key, own) for key, own in zip(keys, wanted, strict=True)]
        if not found:
            raise NotSettable(f"not settable here: this topology has no device on the target {target!r}")
        return tuple(found)

    def _keys(self, device: PathDevice, now: Sheets) -> list[str]:
        facts = now[device.host.name].facts
        if not self.queue:
            return [key for key in (f"napi/{device.device}/{self.kind}",) if key in facts]
        at = re.compile(rf"queue/{re.escape(device.device)}/{self.queue}-[0-9]+/{self.kind}")
        return [key for key in facts if at.fullmatch(key)]

    def _why(self) -> str:
        return " (it has one transmit queue: there is nothing to choose)" if self.queue == "tx" else ""

    def writes(self, changes: Sequence[Change]) -> tuple[Command, ...]:
        """See Knob.writes."""
        return tuple(Command(("tee", device_path(change.key)), stdin=change.wanted) for change in changes)

    def holds(self, wanted: str, actual: str | None) -> bool:
        """See Knob.holds. The kernel prints masks in groups of 32 bits with leading zeros."""
        return actual is not None and _number(wanted) == _number(actual)

    def explains(self, setting: str, difference: Difference) -> bool:
        """See Knob.explains."""
        del setting
        return self.owns(difference.key)

    def command(self, setting: str, value: str) -> str:
        """See Knob.command."""
        place = f"queues/{self.queue}-*/" if self.queue else ""
        if value in steering.WORDS.get(setting, ()):
            what = "COUNT" if value == steering.SHARED else "MASK"
            return f"for each queue: echo {what} > /sys/class/net/DEVICE/queues/{self.queue}-N/{setting}   # {value}"
        return f"echo {_SWITCH.get(value, value)} | tee /sys/class/net/DEVICE/{place}{setting}"


def _number(value: str) -> int | str:
    digits = value.replace(",", "").strip()
    return int(digits, 16) if re.fullmatch(r"[0-9a-f]+", digits) else value


def _has_napi(host: Host, key: str, now: Sheets) -> bool:
    """Whether a device polls at all: it refuses even the value that `threaded` has when it does not.

    netif_set_threaded returns -EOPNOTSUPP for an empty list of NAPI instances before it compares (net/core/dev.c).
    """
    return _written(host, re.sub(r"[^/]+$", "threaded", key), now)


def _written(host: Host, key: str, now: Sheets) -> bool:
    """Whether the file can be written, tried with the value that it has: `test -w` looks at its mode only."""
    value = now[host.name].facts.get(key)
    return value is not None and host.run(Command(("tee", device_path(key)), stdin=value)).ok


_MASK, _MASK_SHAPE = r"[0-9a-f]{1,8}(,[0-9a-f]{8}){0,31}", "mask of CPUs in hexadecimal, as 3 for the first two"
_COUNT = r"[0-9]{1,9}"
DEVICE_FILES = (
    DeviceFile("rps_cpus", _MASK, _MASK_SHAPE, "rx",
               "work moves to other CPUs; redundant where the NIC has a queue for each"),
    DeviceFile("rps_flow_cnt", _COUNT, "number of flows", "rx", "acts only with net.core.rps_sock_flow_entries"),
    DeviceFile("xps_cpus", _MASK, _MASK_SHAPE, "tx", "a driver's own choice is given up"),
    DeviceFile("napi_defer_hard_irqs", _COUNT, "number of polls", "",
               "with gro_flush_timeout: fewer interrupts, and latency up to that timeout"),
    DeviceFile("gro_flush_timeout", _COUNT, "number of nanoseconds", "",
               "packets may wait that long to be merged"),
    DeviceFile("threaded", "on|off", "switch (on or off)", "",
               "polling becomes kernel threads that compete with other processes"),
)  # fmt: skip
