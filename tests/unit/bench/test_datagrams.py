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


@pytest.mark.parametrize(
    ("grown", "read", "ours"),
    [
        # handed up, read, no port, no room, multicast that nobody listens to
        ((101, 101, 0, 0, 0), 100, 100),
        ((141, 131, 0, 0, 10), 100, 100),  # 30 that another program read, 10 that nobody wanted
        ((101, 61, 0, 30, 0), 60, 100),  # 30 found no room, 10 were in the socket when it was closed
        ((151, 111, 5, 30, 0), 60, 100),  # and 50 that another read
        ((101, 96, 0, 5, 0), 90, 95),  # 5 of others that were read, and 5 of ours without room: 5 were lost
        ((106, 116, 0, 0, 0), 100, 100),  # 5 multicast ones with three readers each
        ((101, 101, 0, 0, 0), None, 100),
    ],
)
def test_what_others_send_hides_no_loss(grown: tuple[int, ...], read: int | None, ours: int) -> None:
    """iperf3 knows what it read of its own; what nobody read is ours."""
    names = ("Ip.InDelivers", "Udp.InDatagrams", "Udp.NoPorts", "Udp.InErrors", "Udp.IgnoredMulti")
    before, after = Counters(1.0, {}, {}, {}, {}), Counters(2.0, {}, {}, {}, dict(zip(names, grown, strict=True)))

    assert datagrams.arrived(before, after, read, six=False) == ours
