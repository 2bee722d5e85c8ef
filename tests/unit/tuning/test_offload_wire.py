"""The program that both ends run: one text without our packages; frames made by hand, and read again."""

import ast
import socket
import struct
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.offload import datagrams, wire
from tuning.offload.exchange import program

CASE = {"client_mac": "02:00:00:00:00:01", "server_mac": "02:00:00:00:00:02", "flow": "out", "kind": "udp", "rounds": 2}
PATTERN = bytes(range(256)) * 8192


def test_the_program_is_one_text_of_the_standard_library() -> None:
    """It compiles, and imports nothing of ours."""
    tree = ast.parse(program())
    modules = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert not [name for name in modules if name.startswith(("tuning", "bench", "results", "nettune"))]
    compile(program(), "program", "exec")


@given(st.binary(min_size=4, max_size=400), st.integers(1, 65535))
def test_the_checksum_of_udp_made_by_hand_is_right_or_wrong_as_asked(body: bytes, port: int) -> None:
    """Summed with its pseudo header a right one gives all ones (RFC 768)."""
    for wrong in (False, True):
        made = wire.udp4(CASE, "192.0.2.1", "192.0.2.2", port, body, wrong)
        segment = made[34:]
        pseudo = (
            socket.inet_aton("192.0.2.1") + socket.inet_aton("192.0.2.2") + struct.pack("!BBH", 0, 17, len(segment))
        )

        assert (wire._summed(pseudo + segment) == 0xFFFF) is not wrong
        assert wire._summed(made[14:34]) == 0xFFFF


@given(st.integers(0, 10_000), st.integers(4, 1500))
def test_a_datagram_has_its_number_and_its_size(number: int, size: int) -> None:
    """Whatever its place in the pattern."""
    made = wire.datagram(PATTERN, number, size)

    assert (len(made), struct.unpack("!I", made[:4])[0]) == (size, number)


@pytest.mark.parametrize("number", range(10))
def test_a_tag_is_read_from_the_frame_and_from_beside_it(number: int) -> None:
    """The kernel or the NIC may have taken it out: the same is told."""
    made, tag, body = wire.tagged({"pattern": PATTERN}, CASE, number)
    aux = struct.pack("IIIHHHH", wire.VLAN_VALID, 0, 0, 0, 0, tag, 0x8100)
    taken = made[:12] + made[16:]

    assert wire.frame(made, []) == (wire.ALIEN, tag, body)
    assert wire.frame(taken, [(wire.SOL_PACKET, wire.AUXDATA, aux)]) == (wire.ALIEN, tag, body)
    assert wire.frame(taken, []) == (wire.ALIEN, None, body)


def _packet(proto: int, ports: tuple[int, int], length: int, tagged: bool = False) -> tuple[bytearray, int]:
    head = b"\0" * 12 + (struct.pack("!HH", wire.TAG, 10) if tagged else b"") + struct.pack("!H", wire.IPV4)
    made = head + struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0, 64, proto, 0) + b"\0" * 8
    made += struct.pack("!HH", *ports) + b"\0" * 8 + b"\x50" + b"\0" * 20
    return bytearray(made.ljust(wire.SNAP, b"\0")), len(head) + length


@pytest.mark.parametrize("tagged", [False, True])
def test_only_packets_of_the_case_are_counted(tagged: bool) -> None:
    """TCP between its ports either way; what it carries without headers."""
    room, length = _packet(6, (1000, 2000), 1500, tagged)
    other, _ = _packet(6, (1000, 2001), 1500, tagged)
    udp, _ = _packet(17, (1, 2), 1500, tagged)

    assert wire._carries(room, length, {1000, 2000}, "") == 1460
    assert wire._carries(other, length, {1000, 2000}, "") == 0
    assert wire._carries(udp, length, {1000, 2000}, "") == 0
    assert wire._carries(udp, length, set(), "") == 1472
    assert wire._carries(bytearray(wire.SNAP), 60, set(), "") == 0


def _wrapped(over: str, room: bytearray, length: int) -> tuple[bytearray, int]:
    """The packet in a tunnel of that kind, as the NIC has it."""
    inner, vni = bytes(room[14:]), b"\0" * 7
    proto, head = {
        "vxlan": (17, struct.pack("!HHHH", 9, 4789, 0, 0) + b"\x08" + vni + bytes(room[:14])),
        "vxlan6": (17, struct.pack("!HHHH", 9, 4789, 0, 0) + b"\x08" + vni + bytes(room[:14])),
        "geneve": (17, struct.pack("!HHHH", 9, 6081, 0, 0) + b"\0" + vni + bytes(room[:14])),
        "gre": (47, struct.pack("!HH", 0, wire.IPV4)),
        "gre csum": (47, struct.pack("!HHHH", 0x8000, wire.IPV4, 1, 0)),
        "gre6": (47, struct.pack("!HH", 0, wire.IPV4)),
        "ipip": (4, b""),
        "ipip6": (4, b""),
    }[over]
    if over.endswith("6"):
        ip = struct.pack("!BBHHBB", 0x60, 0, 0, 0, proto, 64) + b"\0" * 32
    else:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, 64, proto, 0) + b"\0" * 8
    made = b"\0" * 12 + struct.pack("!H", wire.IPV6 if over.endswith("6") else wire.IPV4) + ip + head + inner
    return bytearray(made[: wire.SNAP]), length - 14 + len(made) - len(inner)


@pytest.mark.parametrize("over", ["vxlan", "vxlan6", "geneve", "gre", "gre csum", "gre6", "ipip", "ipip6"])
def test_packets_are_counted_in_their_tunnel_alone(over: str) -> None:
    """The payload within it; neither a bare packet of the case nor one in another tunnel."""
    room, length = _packet(6, (1000, 2000), 1500)
    wrapped, whole = _wrapped(over, room, length)
    other = "gre" if over.startswith("ipip") else "ipip"

    assert wire._carries(wrapped, whole, {1000, 2000}, over) == 1460
    assert wire._carries(wrapped, whole, {1000, 2000}, "") == 0
    assert wire._carries(room, length, {1000, 2000}, over) == 0
    assert wire._carries(wrapped, whole, {1000, 2000}, other) == 0


def test_a_packet_of_ipv6_in_a_tunnel_behind_two_tags_is_counted() -> None:
    """All headers fit into what is kept of a packet: Ethernet, two tags, IPv6, VXLAN, Ethernet, IPv6 and TCP."""
    tcp = struct.pack("!HH", 1000, 2000) + b"\0" * 8 + b"\x80" + b"\0" * 19
    inner = b"\0" * 12 + struct.pack("!H", wire.IPV6) + struct.pack("!BBHHBB", 0x60, 0, 0, 0, 6, 64) + b"\0" * 32 + tcp
    tags = struct.pack("!HHHH", wire.STAG, 4001, wire.TAG, 4002)
    outer = struct.pack("!BBHHBB", 0x60, 0, 0, 0, 17, 64) + b"\0" * 32 + b"\0" * 16
    made = b"\0" * 12 + tags + struct.pack("!H", wire.IPV6) + outer + inner
    room = bytearray(made.ljust(wire.SNAP, b"\0"))

    assert len(made) <= wire.SNAP
    assert wire._carries(room, len(made) + 777, {1000, 2000}, "vxlan6") == 777


def test_what_the_nic_cuts_up_arrives_in_these_sizes() -> None:
    """Whole ones, and a last one that is smaller."""
    assert datagrams.planned({"kind": "gso", "segment": 1200, "rounds": 1}) == [[1200] * 5, [*[1200] * 10, 500]]
    assert len(datagrams.planned(CASE)) == 2 * len(datagrams.SIZES)


class _Sudden:
    """The taker's connection, whose other end sends all its datagrams in the moment that it knows where to."""

    def __init__(self, link: socket.socket, case: dict[str, Any]) -> None:
        self._case = case
        self.fileno, self.recv, self.getsockname = link.fileno, link.recv, link.getsockname

    def sendall(self, told: bytes) -> None:
        """A port ends the wait."""
        if told == b"r":
            return
        where = (self.getsockname()[0], struct.unpack("!H", told)[0])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.setsockopt(socket.IPPROTO_UDP, datagrams.SEGMENT, self._case["segment"])
            number = 0
            for sizes in datagrams.planned(self._case):
                out.sendto(b"".join(wire.datagram(PATTERN, number + at, size) for at, size in enumerate(sizes)), where)
                number += len(sizes)


def test_datagrams_that_come_at_once_are_taken_merged() -> None:
    """The socket takes them so before the other end knows its port: what came earlier would come one by one."""
    case = {"kind": "gso", "segment": 1200, "rounds": 2, "merged": 1, "limit_s": 5, "server": "127.0.0.1"}
    with socket.create_server(("127.0.0.1", 0)) as door, socket.create_connection(door.getsockname()) as other:
        link, _ = door.accept()
        with link:
            other.shutdown(socket.SHUT_WR)
            sudden = cast("socket.socket", _Sudden(link, case))
            taken = datagrams.take_udp({"pattern": PATTERN}, case, sudden, "")

    assert (taken["got"], taken["merged"], taken["wrong"], taken["missized"]) == (32, 32, 0, 0)
