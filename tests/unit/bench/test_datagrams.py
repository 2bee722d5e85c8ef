"""What a path delivered, from counters that the kernel does not read all at one moment."""

import json
from collections.abc import Iterable

import pytest

from bench.capacity import datagrams
from bench.facts import counters
from bench.facts.counters import Counters
from tests.unit.bench.recorded import answered


def counted(ip: int, tcp: int) -> Counters:
    """A host's counters with so many packets and segments."""
    return Counters(1.0, {}, {}, {}, {"Ip.InDelivers": ip, "Tcp.InSegs": tcp, "Icmp.InMsgs": 0})


@pytest.mark.parametrize(
    ("end", "count"),
    [
        ({"streams": [{"udp": {"out_of_order": 20, "lost_packets": 10}}]}, 20),
        ({"streams": [{"udp": {}}]}, 0),
        ({}, 0),
        (None, 0),
    ],
)
def test_what_came_twice_is_read_from_the_receiver(end: object, count: int) -> None:
    """iperf3 counts it as out of order, and one lost less; of a receiver that says nothing it is not known."""
    text = json.dumps({"intervals": [{"sum": {"start": 0, "end": 1, "bytes": 5}}], "end": end})

    assert datagrams.disordered(answered(text)) == count


def test_a_segment_between_two_lines_of_the_kernel_s_file_is_no_datagram(monkeypatch: pytest.MonkeyPatch) -> None:
    """IP's line was printed, then a segment of our own connection came, then TCP's line."""
    readings = iter([counted(107, 101), counted(108, 101), counted(109, 102)])

    def read(_hosts: Iterable[object]) -> dict[str, Counters]:
        return {"b": next(readings)}

    monkeypatch.setattr(counters, "read", read)
    before = datagrams.begun((), six=False)

    assert datagrams.delivered(before["b"], counted(710, 103), six=False) == 600
