"""The program at both ends of an exchange, given to their python3 as text: it needs nothing of ours, and no package.

    python3 -c TEXT serve < ORDER      at the end that waits: prints "ready", then a line of JSON a case
    python3 -c TEXT drive < ORDER      at the end that begins; it waits for the other

Each case has a port of its own and begins with a TCP connection to it. Payload is a fixed random pattern, dealt by the
order's seed at both ends, and is compared with it byte for byte by memcmp: unlike a digest that tells what was wrong.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import socket
import struct
import sys
import threading
import time

from tuning.offload.datagrams import (
    agreed,
    family,
    send_forged,
    send_tagged,
    send_udp,
    take_forged,
    take_tagged,
    take_udp,
)
from tuning.offload.spread import send_spread, take_spread
from tuning.offload.wire import Case, Order, Said, watch

BUSY = "somebody else listens on port"
BLOCK = 131072  # bytes compared at a time
BLOCKS = 16  # of the pattern, which then begins anew
TOLD = 4  # wrong blocks that are looked into
TOTAL_RETRANS, BYTES_ACKED = 100, 120  # of tcpi_total_retrans, tcpi_bytes_acked in struct tcp_info, linux/tcp.h
_AGAIN_S = 1.5  # for a connection after one that did not come about: a lost SYN is sent again after a second
CRAWLS_BYTES = 200_000  # less in a case's time is no progress


def main() -> None:
    """Either role."""
    role, order = sys.argv[1], json.load(sys.stdin)
    order["pattern"] = random.Random(order["seed"]).getrandbits(BLOCK * BLOCKS * 8).to_bytes(BLOCK * BLOCKS, "little")  # noqa: S311 - a pattern, no secret
    (_serve if role == "serve" else _drive)(order)


def _tell(told: Said) -> None:
    os.write(1, (json.dumps(told) + "\n").encode())  # at once and whole, whichever thread it is


def _serve(order: Order) -> None:
    """Every port is open before anybody is told; a case that nobody begins ends with the order's time."""
    doors = []
    for case in order["cases"]:
        door = socket.socket(family(case), socket.SOCK_STREAM)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if case["mss"]:
            door.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, case["mss"])
        try:
            door.bind((case["server"], case["port"]))
            door.listen(1)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise SystemExit(f"{BUSY} {case['port']}") from None
        doors.append(door)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    until = time.monotonic() + order["limit_s"]
    lock = threading.Lock()

    def one(door: socket.socket, case: Case) -> None:
        told: Said = {"case": case["name"]}
        try:
            door.settimeout(max(0.01, until - time.monotonic()))
            link, _ = door.accept()
            with link, lock:  # a case begins when the one before it is over at both ends
                told.update(_part(order, case, link, case["flow"] == "in", "server"))
        except (OSError, ValueError) as error:
            told["error"] = str(error) or type(error).__name__
        _tell(told)

    # Daemons: standard input's end, with the driver's, may end them all.
    threads = [threading.Thread(target=one, args=each, daemon=True) for each in zip(doors, order["cases"])]  # noqa: B905 - Python 3.9
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def _drive(order: Order) -> None:
    """A direction in which TCP did not end is left alone, and everything once the ends no longer meet."""
    hung, apart = set(), 0
    until = time.monotonic() + order["start_s"]
    for case in order["cases"]:
        told: Said = {"case": case["name"]}
        if apart > 1:
            told["skipped"] = "the ends did not meet in the cases before it"
        elif case["kind"] == "tcp" and case["flow"] in hung:
            told["skipped"] = "a case before it did not end in this direction"
        else:
            try:
                with _connected(case, until, _AGAIN_S if apart > 0 else case["limit_s"]) as link:
                    apart = -1
                    told.update(_part(order, case, link, case["flow"] == "out", "client"))
            except (OSError, ValueError) as error:
                told["error"] = str(error) or type(error).__name__
            apart += 1
            if case["kind"] == "tcp" and told.get("crawls", True):
                hung.add(case["flow"])
        _tell(told)


def _connected(case: Case, until: float, limit_s: float) -> socket.socket:
    """To the other end's port; both ends' programs start at the same time, and until then it may not listen yet."""
    while True:
        link = socket.socket(family(case), socket.SOCK_STREAM)
        try:
            link.settimeout(limit_s)
            if case["mss"]:
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, case["mss"])
            link.bind((case["client"], 0))
            link.connect((case["server"], case["port"]))
        except OSError as error:
            link.close()
            if not isinstance(error, ConnectionRefusedError) or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return link


def _part(order: Order, case: Case, link: socket.socket, sends: bool, end: str) -> Said:
    """What this end does in a case, and what it saw."""
    link.settimeout(case["limit_s"])
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if (
        case["over"] and case["kind"] == "tcp"
    ):  # what is closed with payload on its way would keep its namespace, and the device, for minutes
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    device, before = order["devices"][end], _refused_checksums()
    watched = watch(device, case, link, sends) if case["watch"] else None
    told = (_SENDING if sends else _TAKING)[case["kind"]](order, case, link, device)
    told["bad_checksums"] = _refused_checksums() - before
    if watched is not None:
        told["watched"] = watched()
    return told


def _refused_checksums() -> int:
    """Packets that this kernel has dropped for their checksum: InCsumErrors of TCP and UDP, both families."""
    found = 0
    with open("/proc/net/snmp", encoding="ascii") as file:  # noqa: PTH123 - as a program of its own it stays plain
        lines = [line.split() for line in file if line.startswith(("Tcp:", "Udp:"))]
    for names, values in zip(lines[::2], lines[1::2]):  # noqa: B905 - Python 3.9
        found += int(dict(zip(names, values)).get("InCsumErrors", 0))  # noqa: B905
    with contextlib.suppress(OSError), open("/proc/net/snmp6", encoding="ascii") as file:  # noqa: PTH123
        found += sum(int(line.split()[1]) for line in file if line.startswith("Udp6InCsumErrors"))
    return found


def _paced(link: socket.socket) -> None:
    """From now on a call blocks, but for a quarter of a second: python's own time limits cost a poll(2) a call."""
    link.settimeout(None)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        link.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", 0, 250_000))


def _send_tcp(order: Order, case: Case, link: socket.socket, device: str) -> Said:
    del device
    agreed(link, sends=True)
    pattern, view = order["pattern"], memoryview(order["pattern"])
    at = sent = turn = 0
    until, given_up = time.monotonic() + case["limit_s"], False
    _paced(link)
    with contextlib.suppress(OSError):  # what has passed tells
        while sent < case["bytes"] and not given_up:
            size = min(case["writes"][turn % len(case["writes"])], case["bytes"] - sent, len(pattern) - at)
            try:
                size = link.send(view[at : at + size])
                sent, at, turn = sent + size, (at + size) % len(pattern), turn + 1
            except BlockingIOError:  # nothing fitted in for a while
                given_up = _closed(link) or time.monotonic() > until
        link.shutdown(socket.SHUT_WR)
        link.settimeout(max(0.001, until - time.monotonic()))
        link.recv(1)  # until the other end has seen the end
    info = link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, BYTES_ACKED + 8)
    passed: int = struct.unpack_from("Q", info, BYTES_ACKED)[0]
    return {"sent": sent, "crawls": passed < min(case["bytes"] // 2, CRAWLS_BYTES),
            "retransmits": struct.unpack_from("I", info, TOTAL_RETRANS)[0]}  # fmt: skip


def _closed(link: socket.socket) -> bool:
    """Whether the other end has given up."""
    with contextlib.suppress(BlockingIOError):
        return link.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    return False


def _take_tcp(order: Order, case: Case, link: socket.socket, device: str) -> Said:
    del device
    agreed(link, sends=False)
    pattern = order["pattern"]
    expected = [pattern[each * BLOCK : (each + 1) * BLOCK] for each in range(BLOCKS)]
    block, got, wrong, first, longest = bytearray(BLOCK), 0, 0, -1, 0.0
    view = memoryview(block)
    _paced(link)
    began = last = time.monotonic()
    until, over = began + case["limit_s"], False
    while not over:
        filled = 0
        while filled < BLOCK and not over:
            count = -1
            try:
                count = link.recv_into(view[filled:], 0, socket.MSG_WAITALL)
            except BlockingIOError:  # nothing came for a while
                over = time.monotonic() - last > case["patience_s"]
            except OSError:  # reset
                over = True
            now = time.monotonic()
            over = over or not count or now > until
            if count > 0:
                longest, last = max(longest, now - last), now
                filled += count
        which = expected[got // BLOCK % BLOCKS]
        # Two slices are two copies, but of the last block alone.
        if not (block == which if filled == BLOCK else block[:filled] == which[:filled]):
            wrong += 1
            if first < 0:
                first = got + next(at for at in range(filled) if block[at] != which[at])
        got += filled
    whole = got == case["bytes"]
    return {"got": got, "wrong": wrong, "first_wrong": first, "whole": whole,
            "crawls": not whole and got < CRAWLS_BYTES, "gap_s": round(longest, 4),
            "took_s": round(last - began, 6), "idle_s": round(time.monotonic() - last, 4)}  # fmt: skip


_SENDING = {"tcp": _send_tcp, "udp": send_udp, "gso": send_udp, "tagged": send_tagged, "forged": send_forged,
            "spread": send_spread}  # fmt: skip
_TAKING = {"tcp": _take_tcp, "udp": take_udp, "gso": take_udp, "tagged": take_tagged, "forged": take_forged,
           "spread": take_spread}  # fmt: skip

if __name__ == "__main__":
    main()
