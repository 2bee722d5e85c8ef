"""The `rate` probe: NDR and PDR of one frame size, found by MLRsearch over trials of iperf3's datagrams.

Trials are checked and counted by `bench.capacity`; here the search is one measurement among others, so that treatments
can be compared by it and latency be measured at a share of it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from bench import options
from bench.capacity.datagrams import ETHERNET_BYTES, LEAST_FRAME_BYTES, Datagrams, payload_bytes
from bench.capacity.pktgen import UNNUMBERED, Pktgen
from bench.capacity.rates import PDR, Bounds, Effort, Found, Generator, GeneratorShort, searched
from bench.document import Node
from bench.hosts.command import Command
from bench.options import Options
from bench.probes.probe import Measured, Pair, ProbeFailed, ToolBroke
from results.errors import NotAble
from results.records import Sample

_DRAIN_S = 0.4  # of each trial beside its traffic: start, counters, what is left in queues


@dataclass(frozen=True, slots=True)
class Rate:
    """Searches below `most_mbit` of Ethernet frames of `frame_bytes`, checksum included, for `search_s` at most."""

    name: str
    frame_bytes: int
    most_mbit: float
    trial_s: float
    sum_s: float
    width_pct: float
    search_s: float
    ends: tuple[str, str] = ("a", "b")  # sender, receiver
    generator: Literal["iperf3", "pktgen"] = "iperf3"

    @property
    def load_ends(self) -> tuple[str, str] | None:
        """See Probe.load_ends."""
        return None

    @property
    def calibrates(self) -> tuple[str, ...]:
        """See Probe.calibrates."""
        return ()

    @property
    def most_fps(self) -> float:
        """Frames a second at which the search begins."""
        return self.most_mbit * 1e6 / 8 / self.frame_bytes

    @property
    def definitions(self) -> Mapping[str, str]:
        """See Probe.definitions."""
        how = (
            f"of UDP in Ethernet frames of {self.frame_bytes} bytes; a rate holds where more than half of "
            f"{self.sum_s:g} s of trials of {self.trial_s:g} s say so (MLRsearch)"
        )
        return {
            "ndr": f"the largest rate without any loss {how}: the lower bound",
            "pdr": f"the largest rate with at most 0.5 % of loss {how}: the lower bound",
            "pdr_goodput": f"payload that is sent at that rate with at most 0.5 % of loss, {how}",
        }

    @property
    def traffic_s(self) -> float:
        """Seconds that the search takes at most; it ends when its bounds are near enough."""
        return self.search_s + self.trial_s

    @property
    def tool_s(self) -> float:
        """Of the trial that the end of its time cuts into."""
        return _DRAIN_S

    @property
    def tools(self) -> tuple[Command, ...]:
        """What prints iperf3's version."""
        return (Command(("iperf3", "--version")),) if self.generator == "iperf3" else ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """Compared by the judgement. NDR hangs on single frames: it is kept, and names no winner."""
        return (f"{self.name}.pdr", f"{self.name}.pdr_goodput")

    def misfit(self, mtu: int, family: int) -> str:
        """Why its frames cannot pass such a path, "" where they can."""
        most = mtu + ETHERNET_BYTES
        if self.frame_bytes > most:
            return f"a frame of {self.frame_bytes} bytes does not fit the MTU {mtu}: {most} do"
        try:
            payload_bytes(self.frame_bytes, family)
        except ValueError as error:
            return f"{error}: {LEAST_FRAME_BYTES[family]} bytes do"
        return ""

    def commands(self, pair: Pair) -> tuple[tuple[str, Command], ...]:
        """See Probe.commands; those of the first trial."""
        if self.generator == "pktgen":
            first = Pktgen(pair, self.frame_bytes).command(self.most_fps, self.trial_s, "MAC-OF-THE-NEXT-HOP")
            return ((pair.client.host.name, first),)
        return Datagrams(pair, self.frame_bytes).probe(self.most_fps, self.trial_s).commands(pair)

    def measure(self, pair: Pair) -> Measured:
        """One search between the pair. See Probe.measure."""
        effort = Effort(self.trial_s, self.sum_s, self.width_pct / 100, self.search_s)
        try:
            found = searched(self._generator(pair), most_fps=self.most_fps, effort=effort)
        except ProbeFailed:
            raise
        except GeneratorShort as error:
            raise ToolBroke(f"{self.name}: {error}", hint=error.hint) from error
        except NotAble as error:
            raise ProbeFailed(f"{self.name}: {error}", hint=error.hint) from error
        return self.measured(found, pair)

    def _generator(self, pair: Pair) -> Generator:
        made = Pktgen if self.generator == "pktgen" else Datagrams
        return made(pair, self.frame_bytes)

    def measured(self, found: Found, pair: Pair) -> Measured:
        """What a search amounts to; pure. Raises ProbeFailed where no rate passes."""
        raw = {"search": json.dumps(_document(found))}
        size = payload_bytes(self.frame_bytes, 6 if ":" in pair.client.address else 4)
        way = f"{pair.client.host.name}>{pair.server.host.name}"
        flags = [f"{self.name}: {found.note}"] if found.note else []
        if found.rejected:
            flags.append(f"{self.name}: {len(found.rejected)} trials rejected: {found.rejected[0][1]}")
        flags += [f"{self.name}: {UNNUMBERED}"] if self.generator == "pktgen" else []
        samples: list[Sample] = []

        def add(metric: str, value: float | None, unit: str) -> None:
            if value is not None:
                samples.append(Sample(self.name, metric, value, unit, "receiver", way, max(found.trial_s, 0.1)))

        for bounds in found.bounds:
            word = bounds.goal.name.lower()
            add(word, bounds.low, "1/s")
            add(f"{word}_high", bounds.high, "1/s")
            if bounds.note and not found.note:
                flags.append(f"{self.name}: {bounds.goal.name}: {bounds.note}")
        passed = next((each.low for each in found.bounds if each.goal is PDR), None)
        if passed is None:
            raise ProbeFailed(f"{self.name}: no rate up to {self.most_fps:.0f} frames/s passes with {_pct(PDR.loss)} "
                              "of loss", raw=raw)  # fmt: skip
        add("pdr_goodput", passed * size * 8, "bit/s")
        arrived = sum(each.received for each in found.trials)
        return Measured(
            tuple(samples), raw, flags=tuple(flags), receiver=pair.server.host.name, delivered_bytes=arrived * size
        )


def _document(found: Found) -> dict[str, object]:
    """Every trial, counted ones and rejected ones, for the record."""

    def bound(each: Bounds) -> dict[str, object]:
        return {"low": each.low, "high": each.high, "received": each.received_fps, "note": each.note}

    return {
        "bounds": {each.goal.name: bound(each) for each in found.bounds},
        "trials": [asdict(each) for each in found.trials],
        "rejected": [{**asdict(each), "why": why} for each, why in found.rejected],
        "note": found.note,
    }


def _pct(share: float) -> str:
    return f"{100 * share:g} %"


OPTIONS: Options = {
    "frame_bytes": options.whole(64, 9018, "bytes", 1518, "bytes of a frame, its checksum included"),
    "most_mbit": options.number(0.1, 400_000, "Mbit/s", 1000.0, "Mbit/s of frames at which the search begins"),
    "trial_s": options.whole(1, 3600, "seconds", 1, "whole seconds of a trial; long beside the queues of the path"),
    "sum_s": options.number(1, 3600, "seconds", 3.0, "seconds of trials that decide a rate"),
    "width_pct": options.number(0.1, 20, "per cent", 1.0, "per cent between the bounds that are good enough"),
    "search_s": options.number(5, 86_400, "seconds", 90.0, "seconds after which it ends with what it has"),
    "generator": options.word(
        ("iperf3", "pktgen"), "iperf3", "pktgen: the sender's kernel, where that is loaded (IPv4)"
    ),
}


def read(name: str, ends: tuple[str, str], given: Mapping[str, Any], node: Node) -> Rate:  # Any: as in Options
    """The `rate` probe of a plan. Raises WrongInput where options contradict each other."""
    members = node.mapping()
    if given["sum_s"] < given["trial_s"]:
        members.get("sum_s", node).wrong(
            f"{given['sum_s']:g} s are less than a trial of {given['trial_s']} s", hint=f"sum_s: {3 * given['trial_s']}"
        )
    return Rate(name, given["frame_bytes"], given["most_mbit"], float(given["trial_s"]), given["sum_s"],
                given["width_pct"], given["search_s"], ends, given["generator"])  # fmt: skip
