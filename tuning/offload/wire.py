"""What the program at the ends knows of frames: made by hand, read from a tap, counted in passing.

The first half of the program's text (`program`); `remote` is the other. Standard library only, Python 3.9 and later.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

# linux/if_packet.h, linux/if_ether.h, asm-generic/socket.h: not in every python3's socket module
SOL_PACKET, MEMBERSHIP, AUXDATA, ATTACH_FILTER, RCVBUFFORCE = 263, 1, 8, 26, 33
HASH = 0xFFFFF000 + 32  # SKF_AD_OFF + SKF_AD_RXHASH, linux/filter.h
PROMISCUOUS = 1  # PACKET_MR_PROMISC
NEWNET = 0x40000000  # CLONE_NEWNET, linux/sched.h
ALL, ALIEN = 3, 0x88B5  # for local experiments (IEEE 802)
TAG, STAG, IPV4, IPV6 = 0x8100, 0x88A8, 0x0800, 0x86DD
# tp_status of PACKET_AUXDATA: the checksum is left to the device; a tag stands beside the frame; the device, or the
# kernel before us, has found the checksum right. skb_csum_unnecessary in linux/skbuff.h, packet_rcv in af_packet.c.
PARTIAL, VLAN_VALID, CSUM_VALID = 8, 16, 128
# Of a tunnel: the protocols that it is in, and the bytes between their header and the packet within.
_IN_UDP, _IN_GRE = ((socket.IPPROTO_UDP,), 8 + 8 + 14), ((socket.IPPROTO_GRE,), 4)
TUNNELS = {
    "vxlan": _IN_UDP, "vxlan6": _IN_UDP, "geneve": _IN_UDP, "gre": _IN_GRE, "gre6": _IN_GRE,
    "ipip": ((socket.IPPROTO_IPIP,), 0), "ipip6": ((socket.IPPROTO_IPIP, socket.IPPROTO_IPV6), 0),
}  # fmt: skip
VLANS = (2, 10, 100, 1000, 4094)
FRAMES = 60
SNAP = 192  # IPv6 and TCP with its options in VXLAN over IPv6, and two tags

Said = dict[str, Any]  # what is told of a case; Any: JSON, here and below
Case = dict[str, Any]
Order = dict[str, Any]


def datagram(pattern: bytes, number: int, size: int) -> bytes:
    """Payload of that size which begins with its number."""
    at = (number * 1031) % (len(pattern) - 65536)
    return struct.pack("!I", number) + pattern[at : at + size - 4]


def macs(case: Case, flow: str) -> bytes:
    """Destination and source of a frame of the case."""
    to, of = ("server", "client") if flow == "out" else ("client", "server")
    return bytes.fromhex((case[to + "_mac"] + case[of + "_mac"]).replace(":", ""))


def tagged(order: Order, case: Case, number: int) -> tuple[bytes, int, bytes]:
    """A frame with a VLAN tag, that tag, and its body."""
    tag = VLANS[number % len(VLANS)] | (number % 8) << 13
    body = datagram(order["pattern"], number, 60 + 37 * (number % 30))
    return macs(case, case["flow"]) + struct.pack("!HHH", TAG, tag, ALIEN) + body, tag, body


def udp4(case: Case, here: str, there: str, port: int, body: bytes, wrong: bool) -> bytes:
    """A frame of UDP over IPv4 whose checksum is right, or not."""
    ends = socket.inet_aton(here) + socket.inet_aton(there)
    head = struct.pack("!HHHH", 40000, port, 8 + len(body), 0)
    total = _summed(ends + struct.pack("!BBH", 0, 17, 8 + len(body)) + head + body) ^ 0xFFFF or 0xFFFF
    head = head[:6] + struct.pack("!H", (total ^ 0x5555 if wrong else total) or 0xFFFF)
    outer = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(body), 0, 0, 64, 17, 0) + ends
    outer = outer[:10] + struct.pack("!H", _summed(outer) ^ 0xFFFF) + outer[12:]
    return macs(case, case["flow"]) + struct.pack("!H", IPV4) + outer + head + body


def _summed(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def tapped(name: str) -> socket.socket:
    """A socket that sees every frame of a device, and what the kernel knows of each."""
    door = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
    door.bind((name, ALL))
    door.setsockopt(SOL_PACKET, AUXDATA, 1)
    with contextlib.suppress(OSError):
        door.setsockopt(socket.SOL_SOCKET, RCVBUFFORCE, 64 << 20)
    return door


def filtered(door: socket.socket, *rows: tuple[int, int, int, int]) -> None:
    """Give a tap its filter: code, jt, jf and k of each instruction (struct sock_filter in linux/filter.h)."""
    code = array.array("B", b"".join(struct.pack("HBBI", *each) for each in rows))
    door.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HP", len(rows), code.buffer_info()[0]))


def unfiltered(door: socket.socket, name: str) -> None:
    """Until the tap is closed the device hands on frames of VLANs that nobody has asked it for."""
    door.setsockopt(SOL_PACKET, MEMBERSHIP, struct.pack("IHH8x", socket.if_nametoindex(name), PROMISCUOUS, 0))


def frame(got: bytes, aux: list[Any]) -> tuple[int, int | None, bytes]:
    """Type, tag (None without one) and body of a frame."""
    kind, body = struct.unpack_from("!H", got, 12)[0], got[14:]
    status, _, _, tci = beside(aux)
    if kind == TAG:
        tag, kind = struct.unpack_from("!HH", body)
        return kind, tag, body[4:]
    return kind, (tci if status & VLAN_VALID else None), body


def beside(aux: list[Any]) -> tuple[int, int, int, int]:
    """tp_status, length, bytes kept, and the tag beside the frame (struct tpacket_auxdata)."""
    for level, sort, data in aux:
        if level == SOL_PACKET and sort == AUXDATA:
            found = struct.unpack("IIIHHHH", data[:20])
            return found[0], found[1], found[2], found[5]
    return 0, 0, 0, 0


@contextlib.contextmanager
def at_the_nic(case: Case) -> Iterator[None]:
    """In the NIC's namespace, descriptor 3, where the exchange has one of its own (`over`)."""
    if not case["over"]:
        yield
        return
    import ctypes  # noqa: PLC0415 - os.setns came with Python 3.12; only where it is needed

    enter = ctypes.CDLL(None, use_errno=True).setns  # of this thread alone
    with open("/proc/thread-self/ns/net", encoding="ascii") as own:  # noqa: PTH123 - as a program of its own it stays plain
        if enter(3, NEWNET):
            raise OSError(ctypes.get_errno(), "the NIC's namespace cannot be entered")
        try:
            yield
        finally:
            enter(own.fileno(), NEWNET)


def watch(name: str, case: Case, link: socket.socket, sends: bool) -> Callable[[], Said]:
    """A child counts the first packets with payload that pass the device; the function ends it and gives the counts."""
    with at_the_nic(case):
        door = tapped(name)
        # A = the hash that came with the packet; of one that has none a byte less is kept. Nobody computes it for us.
        filtered(door, (0x20, 0, 0, HASH), (0x15, 1, 0, 0), (0x06, 0, 0, SNAP + 1), (0x06, 0, 0, SNAP))
    reader, writer = os.pipe()
    ending, end = os.pipe()
    child = os.fork()
    if not child:
        told: Said = {}
        try:
            os.close(reader)
            os.close(end)
            told = _counted(door, case, link, sends, ending)
        finally:
            os.write(writer, json.dumps(told).encode())
            os._exit(0)
    for each in (writer, ending):
        os.close(each)
    door.close()

    def over() -> Said:
        time.sleep(0.01)  # for what is on its way
        os.close(end)
        with os.fdopen(reader) as file:
            found: Said = json.loads(file.read() or "{}")
        os.waitpid(child, 0)
        return found

    return over


def _counted(door: socket.socket, case: Case, link: socket.socket, sends: bool, ending: int) -> Said:
    """Packets and bytes by what they show, until there are enough, or none is left once `ending` is closed."""
    ports = {link.getsockname()[1], link.getpeername()[1]} if case["kind"] == "tcp" else set()
    found = dict.fromkeys(("packets", "bytes", "super_bytes", "partial", "valid", "beside", "hashed"), 0)
    door.setblocking(False)
    waiting = select.poll()
    waiting.register(door, select.POLLIN)
    waiting.register(ending, select.POLLIN)
    room = bytearray(SNAP)
    until, over = time.monotonic() + case["limit_s"], False
    while found["packets"] < case["watch"]:
        try:
            _, aux, _, where = door.recvmsg_into([room], 256)
        except BlockingIOError:
            if over or time.monotonic() > until:
                break
            over = any(file == ending for file, _ in waiting.poll(250))
            continue
        except OSError:  # the device went down
            continue
        status, length, kept, _ = beside(aux)  # a filter cuts the frame itself: its length stands beside it alone
        payload = _carries(room, length, ports, case["over"]) if (where[2] == socket.PACKET_OUTGOING) == sends else 0
        if payload <= 0:
            continue
        found["packets"] += 1
        found["bytes"] += payload
        found["super_bytes"] += payload if length > case["mtu"] + 18 else 0  # Ethernet's header, and a tag
        found["partial"] += bool(status & PARTIAL)
        found["valid"] += bool(status & CSUM_VALID)
        found["beside"] += bool(status & VLAN_VALID)
        found["hashed"] += kept > SNAP
    return found


def _carries(room: bytearray, length: int, ports: set[int], over: str) -> int:
    """Bytes of payload in a packet of TCP between these ports, or of any UDP; 0 for any other.

    `over` is the kind of tunnel that the packet must be in; "" and those of VLANs: none.
    """
    at, kind = 14, room[12] << 8 | room[13]
    while kind in (TAG, STAG) and at + 4 <= len(room):
        at, kind = at + 4, room[at + 2] << 8 | room[at + 3]
    protocol, inner = _inside(room, at, kind)
    if header := TUNNELS.get(over.partition(" ")[0]):
        if protocol not in header[0]:
            return 0
        at = inner + header[1]
        if protocol == socket.IPPROTO_GRE:
            at += (room[inner] >> 7) * 4  # its checksum
        protocol, inner = _inside(room, at, IPV6 if at < len(room) and room[at] >> 4 == 6 else IPV4)
    if protocol != (socket.IPPROTO_TCP if ports else socket.IPPROTO_UDP) or inner + 16 > len(room):
        return 0
    if ports and {room[inner] << 8 | room[inner + 1], room[inner + 2] << 8 | room[inner + 3]} != ports:
        return 0
    return length - inner - ((room[inner + 12] >> 4) * 4 if ports else 8)


def _inside(room: bytearray, at: int, kind: int) -> tuple[int, int]:
    """The protocol within a header of IP, and where it begins; -1 for what is none."""
    if kind == IPV4 and at + 20 <= len(room):
        return room[at + 9], at + (room[at] & 15) * 4
    return (room[at + 6], at + 40) if kind == IPV6 and at + 40 <= len(room) else (-1, 0)
