"""`--max-host-cpu`: load ends where a machine's CPUs are busier than somebody allows."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.facts import counters
from bench.facts.counters import Counters
from bench.hosts.host import Host

LOOKS = 2  # in a row: one may fall on a moment that is no load of ours
_APART_S = 5.0  # looks further apart are of two steps
Reading = Callable[[], Mapping[str, float]]  # name of a machine -> share of its CPUs that is busy


@dataclass(slots=True)
class Busy:
    """Shares of machines by their own counters, between one reading and the next; {} at the first of a step."""

    hosts: Sequence[Host]
    clock: Callable[[], float] = time.monotonic
    _before: Mapping[str, Counters] = field(default_factory=dict)
    _at_s: float = float("-inf")

    def __call__(self) -> Mapping[str, float]:
        """Raises HostFault."""
        now, before = counters.read(self.hosts), self._before
        apart_s, self._before, self._at_s = self.clock() - self._at_s, now, self.clock()
        if not before or apart_s > _APART_S:
            return {}
        return {name: counters.cores(before[name], each)["busy"] / max(1, len(each.each_cpu))
                for name, each in now.items()}  # fmt: skip


@dataclass(slots=True)
class Ceiling:
    """Called now and then it says, in words, which machine is above the share; "" none."""

    share: float
    readings: Sequence[Reading]
    clock: Callable[[], float] = time.monotonic
    _above: dict[str, int] = field(default_factory=dict)
    _at_s: float = float("-inf")

    def __call__(self) -> str:
        """Raises HostFault, PveFault where a machine does not answer."""
        if self.clock() - self._at_s > _APART_S:
            self._above.clear()
        self._at_s = self.clock()
        for read in self.readings:
            for name, share in read().items():
                self._above[name] = self._above.get(name, 0) + 1 if share > self.share else 0
                if self._above[name] >= LOOKS:
                    return (f"the CPUs of {name} were {100 * share:.0f} % busy, and --max-host-cpu allows "
                            f"{100 * self.share:.0f} %")  # fmt: skip
        return ""
