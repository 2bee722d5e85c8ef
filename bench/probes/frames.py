"""Frames for the `isolation` probe, as bytes: one of each kind by which hosts find and reach each other. Pure.

Each has a token of its own within, by which a capture tells it from all other traffic. (Not behind it, as padding: a
bridge that looks into an IP packet cuts off what its length does not cover.)
"""

import ipaddress
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_MAGIC = b"nt-isolated"
_TOKEN = re.compile(_MAGIC.decode() + r"([0-9a-f]{8})")
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_DISCARD = 9  # RFC 863: nobody answers a datagram that goes there
_TAG = 0x8100


@dataclass(frozen=True, slots=True)
class Station:
    """An end as its neighbours see it."""

    mac: str
    ip4: str
    ip6: str
    vlan: int


def token(number: int) -> bytes:
    """What a frame has within: plain letters, so that it is legible in a capture that is no text."""
    return _MAGIC + f"{number:08x}".encode()


def seen(capture: str) -> frozenset[int]:
    """The numbers of all tokens in a capture (`tcpdump -w -`)."""
    return frozenset(int(each, 16) for each in _TOKEN.findall(capture))


def _ethernet(source: Station, mac: str, kind: int, payload: bytes, tags: tuple[int, ...] = ()) -> bytes:
    head = _mac(mac) + _mac(source.mac) + b"".join(struct.pack("!HH", _TAG, tag) for tag in tags)
    return head + struct.pack("!H", kind) + payload


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def checksum(data: bytes) -> int:
    """The one of RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _ip4(source: str, goal: str, payload: bytes, protocol: int = 17) -> bytes:
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0,
                       ipaddress.IPv4Address(source).packed, ipaddress.IPv4Address(goal).packed)  # fmt: skip
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def _udp4(source: str, goal: str, ports: tuple[int, int], data: bytes) -> bytes:
    return _ip4(source, goal, struct.pack("!HHHH", *ports, 8 + len(data), 0) + data)  # 0: without a checksum


def _ip6(source: str, goal: str, protocol: int, payload: bytes, at: int) -> bytes:
    """With the checksum, over the pseudo header of RFC 8200 too, at that place of the payload."""
    ends = ipaddress.IPv6Address(source).packed + ipaddress.IPv6Address(goal).packed
    summed = checksum(ends + struct.pack("!II", len(payload), protocol) + payload)
    payload = payload[:at] + struct.pack("!H", summed) + payload[at + 2 :]
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 255) + ends + payload


def _udp6(source: str, goal: str, data: bytes) -> bytes:
    return _ip6(source, goal, 17, struct.pack("!HHHH", _DISCARD, _DISCARD, 8 + len(data), 0) + data, 6)


def _arp(here: Station, there: Station) -> bytes:
    asked = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + _mac(here.mac) + ipaddress.IPv4Address(here.ip4).packed
    return asked + b"\0" * 6 + ipaddress.IPv4Address(there.ip4).packed  # what follows is padding: nobody cuts it off


def _solicitation(here: Station, there: Station, mark: bytes) -> tuple[str, bytes]:
    """(MAC, packet): to the group that a host with that address is in (RFC 4291, 2.7.1); the mark is an option."""
    goal = ipaddress.IPv6Address(there.ip6).packed
    group = ipaddress.IPv6Address(bytes.fromhex("ff0200000000000000000001ff") + goal[-3:])
    asked = struct.pack("!BBHI", 135, 0, 0, 0) + goal + b"\x01\x01" + _mac(here.mac)
    asked += b"\xfd\x03" + mark.ljust(22, b"\0")  # 253: for experiments (RFC 4727), which all others pass over
    return "33:33:ff:" + goal[-3:].hex(":"), _ip6(here.ip6, str(group), 58, asked, 2)


def _discover(here: Station, mark: bytes) -> bytes:
    """DHCPDISCOVER (RFC 2131), from nowhere to everybody."""
    asked = struct.pack("!BBBBIHH16s16s", 1, 1, 6, 0, 0x6E740001, 0, 0x8000, b"", _mac(here.mac)) + b"\0" * 192
    return _udp4("0.0.0.0", "255.255.255.255", (68, 67), asked + bytes.fromhex("63825363350101ff") + mark)  # noqa: S104 - DHCP's


Maker = Callable[[Station, Station, int, bytes], bytes]  # from, to, the VLAN to get to, the token


def _unicast4(here: Station, there: Station, vlan: int, mark: bytes) -> bytes:
    del vlan
    return _ethernet(here, there.mac, 0x0800, _udp4(here.ip4, there.ip4, (_DISCARD, _DISCARD), mark))


def _unicast6(here: Station, there: Station, vlan: int, mark: bytes) -> bytes:
    del vlan
    return _ethernet(here, there.mac, 0x86DD, _udp6(here.ip6, there.ip6, mark))


def _asked4(here: Station, there: Station, vlan: int, mark: bytes) -> bytes:
    del vlan
    return _ethernet(here, _BROADCAST, 0x0806, _arp(here, there) + mark)


def _asked6(here: Station, there: Station, vlan: int, mark: bytes) -> bytes:
    del vlan
    mac, packet = _solicitation(here, there, mark)
    return _ethernet(here, mac, 0x86DD, packet)


def _multicast4(here: Station, there: Station, vlan: int, mark: bytes) -> bytes:
    del there, vlan  # 224.0.0.251 is mDNS's group, which no bridge prunes (RFC 4541: 224.0.0.0/24)
    packet = _udp4(here.ip4, "224.0.0.251", (5353, _DISCARD), mark)
    return _ethernet(here, "01:00:5e:00:00:fb", 0x0800, packet)


def _multicast6(here: Station, there: Station, vlan: int, mark: bytes) -> bytes:
    del there, vlan
    return _ethernet(here, "33:33:00:00:00:01", 0x86DD, _udp6(here.ip6, "ff02::1", mark))


def _dhcp(here: Station, there: Station, vlan: int, mark: bytes) -> bytes:
    del there, vlan
    return _ethernet(here, _BROADCAST, 0x0800, _discover(here, mark))


def _tagged(*of: str) -> Maker:
    """A datagram to one host below tags: "own" VLAN, that of the goal, or 0, which is a priority alone."""

    def made(here: Station, there: Station, vlan: int, mark: bytes) -> bytes:
        words = {"own": here.vlan, "goal": vlan, "none": 0}
        packet = _udp4(here.ip4, there.ip4, (_DISCARD, _DISCARD), mark)
        return _ethernet(here, there.mac, 0x0800, packet, tuple(words[word] for word in of))

    return made


KINDS: Mapping[str, Maker] = {
    "ARP": _asked4,
    "ND": _asked6,
    "IPv4": _unicast4,
    "IPv6": _unicast6,
    "IPv4 multicast": _multicast4,
    "IPv6 multicast": _multicast6,
    "DHCP": _dhcp,
    "priority tag": _tagged("none"),  # VLAN 0: belongs to the port's native VLAN (802.1Q, 6.9)
    "tag of the other VLAN": _tagged("goal"),
    "two tags": _tagged("own", "goal"),  # the outer one is taken off where that VLAN is native
}


def framed(kind: str, here: Station, there: Station, vlan: int, number: int) -> bytes:
    """A frame of that kind; `vlan` is the one that it tries to get to, and its own where it may pass."""
    return KINDS[kind](here, there, vlan, token(number)).ljust(60, b"\0")
