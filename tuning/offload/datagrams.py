"""Datagrams and frames of an exchange: each is sent with its number, and looked at where it arrives.

The second part of the program's text. The connection of a case tells where they go and, by its end, that the last was
sent.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

from tuning.offload.wire import (
    ALIEN,
    FRAMES,
    RCVBUFFORCE,
    Case,
    Order,
    Said,
    datagram,
    frame,
    tagged,
    tapped,
    udp4,
    unfiltered,
)

SEGMENT, MERGED = 103, 104  # UDP_SEGMENT, UDP_GRO of linux/udp.h
SIZES = (64, 65, 127, 128, 511, 999, 1200, 1201)  # of datagrams
LATE_S = 0.04  # for datagrams on their way when the connection has told the end


def family(case: Case) -> int:
    """That of its addresses."""
    return socket.AF_INET6 if ":" in case["server"] else socket.AF_INET


def agreed(link: socket.socket, sends: bool) -> None:
    """The end that takes says that it is ready; the one that sends waits for that."""
    if not sends:
        link.sendall(b"r")
    elif link.recv(1) != b"r":
        raise OSError("the other end was not ready")


def planned(case: Case) -> list[list[int]]:
    """The sizes of all datagrams that arrive, in groups that are sent with one call."""
    if case["kind"] == "gso":
        size, rounds = int(case["segment"]), int(case["rounds"])
        return [[size] * 5, [size] * 10 + [500]] * rounds
    return [[size] for size in SIZES] * int(case["rounds"])


def send_udp(order: Order, case: Case, link: socket.socket, device: str) -> Said:
    """Datagrams of every size; of kind "gso" cut up by the kernel or the NIC."""
    del device
    agreed(link, sends=True)
    port = struct.unpack("!H", link.recv(2))[0]
    number, refused = 0, ""
    with socket.socket(family(case), socket.SOCK_DGRAM) as out:
        out.bind((link.getsockname()[0], 0))
        out.connect((link.getpeername()[0], port))
        try:
            if case["kind"] == "gso":
                out.setsockopt(socket.IPPROTO_UDP, SEGMENT, case["segment"])
            for turn, sizes in enumerate(planned(case)):
                out.send(b"".join(datagram(order["pattern"], number + each, size) for each, size in enumerate(sizes)))
                number += len(sizes)
                if turn % 8 == 7:
                    time.sleep(0.001)  # so that no buffer overflows
        except OSError as error:
            refused = str(error)
    return _ended(link, number, refused)


def _ended(link: socket.socket, sent: int, refused: str = "") -> Said:
    time.sleep(0.01)  # what was sent last arrives before its end is told
    link.shutdown(socket.SHUT_WR)
    with contextlib.suppress(OSError):
        link.recv(1)
    return {"sent": sent, "refused": refused}


def _arriving(
    case: Case, link: socket.socket, door: socket.socket, enough: Callable[[], bool]
) -> Iterator[tuple[bytes, list[Any], Any]]:  # Any: what recvmsg gives
    """(bytes, what is beside them, where from) until the other end has ended, `enough` holds, or time is over."""
    until, ended = time.monotonic() + case["limit_s"], False
    while time.monotonic() < until and not enough():
        ready, _, _ = select.select([door] if ended else [door, link], [], [], LATE_S if ended else 0.25)
        if link in ready:
            link.recv(1)
            ended = True
        if door in ready:
            got, beside, _, where = door.recvmsg(65536, 256)
            yield got, beside, where
        elif ended and not ready:
            return


def take_udp(order: Order, case: Case, link: socket.socket, device: str) -> Said:
    """Which of them came, which came with another content or size, or twice; with `merged` several may come at once."""
    del device
    sizes = [size for group in planned(case) for size in group]
    seen: set[int] = set()
    wrong = missized = twice = merged = 0
    with _receiving(case, link) as door:
        for whole, beside, _ in _arriving(case, link, door, lambda: len(seen) == len(sizes)):
            each_one = apart(whole, beside)
            merged += len(each_one) if len(each_one) > 1 else 0
            for got in each_one:
                number = struct.unpack("!I", got[:4])[0] if len(got) >= 4 else len(sizes)
                if number >= len(sizes):
                    wrong += 1
                    continue
                missized += len(got) != sizes[number]
                wrong += len(got) == sizes[number] and got != datagram(order["pattern"], number, len(got))
                twice += number in seen
                seen.add(number)
    return {"got": len(seen), "lost": len(sizes) - len(seen), "wrong": wrong, "missized": missized, "twice": twice,
            "merged": merged}  # fmt: skip


def apart(whole: bytes, beside: list[Any]) -> list[bytes]:
    """The datagrams of one reading: several of one size, the last one shorter, where the kernel says that size."""
    size = next((struct.unpack_from("i", data)[0] for level, kind, data in beside
                 if level == socket.IPPROTO_UDP and kind == MERGED), 0)  # fmt: skip
    return [whole[at : at + size] for at in range(0, len(whole), size)] if size > 0 and whole else [whole]


@contextlib.contextmanager
def _receiving(case: Case, link: socket.socket) -> Iterator[socket.socket]:
    """A socket for datagrams, whose port the other end is told."""
    with socket.socket(family(case), socket.SOCK_DGRAM) as door:
        door.bind((link.getsockname()[0], 0))
        with contextlib.suppress(OSError):
            door.setsockopt(socket.SOL_SOCKET, RCVBUFFORCE, 8 << 20)
        if case.get("merged"):  # before the other end may send: what comes earlier is not merged
            with contextlib.suppress(OSError):  # from Linux 5.0 on
                door.setsockopt(socket.IPPROTO_UDP, MERGED, 1)
        agreed(link, sends=False)
        link.sendall(struct.pack("!H", door.getsockname()[1]))
        yield door


def send_tagged(order: Order, case: Case, link: socket.socket, device: str) -> Said:
    """Frames with a VLAN tag in them."""
    agreed(link, sends=True)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((device, 0))
        for number in range(FRAMES):
            out.send(tagged(order, case, number)[0])
    return _ended(link, FRAMES)


def take_tagged(order: Order, case: Case, link: socket.socket, device: str) -> Said:
    """Frames of our kind, with the tag that the kernel or the NIC took out of them and put beside."""
    seen: set[int] = set()
    untagged = wrong = 0
    with tapped(device) as door:
        unfiltered(door, device)
        agreed(link, sends=False)
        for got, beside, where in _arriving(case, link, door, lambda: len(seen) == FRAMES):
            kind, tag, body = frame(got, beside)
            if kind != ALIEN or where[2] == socket.PACKET_OUTGOING or len(body) < 4:
                continue
            number = struct.unpack("!I", body[:4])[0] % FRAMES
            _, expected, sent = tagged(order, case, number)
            if tag is None:
                untagged += 1
            elif tag != expected or body[: len(sent)] != sent:
                wrong += 1
            else:
                seen.add(number)
    return {"got": len(seen), "lost": FRAMES - len(seen) - untagged - wrong, "untagged": untagged, "wrong": wrong}


def send_forged(order: Order, case: Case, link: socket.socket, device: str) -> Said:
    """UDP made by hand, in turn with a right checksum and a wrong one."""
    agreed(link, sends=True)
    port = struct.unpack("!H", link.recv(2))[0]
    here, there = link.getsockname()[0], link.getpeername()[0]
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as out:
        out.bind((device, 0))
        for number in range(FRAMES):
            body = datagram(order["pattern"], number, 90 + number)
            out.send(udp4(case, here, there, port, body, wrong=bool(number % 2)))
    return _ended(link, FRAMES)


def take_forged(order: Order, case: Case, link: socket.socket, device: str) -> Said:
    """Which of them came; none of a wrong checksum may."""
    del device
    right: set[int] = set()
    passed = wrong = 0
    with _receiving(case, link) as door:
        for got, _, _ in _arriving(case, link, door, lambda: False):
            number = struct.unpack("!I", got[:4])[0] % FRAMES if len(got) >= 4 else 0
            passed += number % 2  # its checksum was wrong
            wrong += number % 2 == 0 and got != datagram(order["pattern"], number, 90 + number)
            right.add(number)
    right -= set(range(1, FRAMES, 2))
    return {"got": len(right), "lost": FRAMES // 2 - len(right), "passed": passed, "wrong": wrong}
