"""Many connections at once, and the queue of the NIC that each goes out of or comes in by.

The third part of the program's text. A tap's filter says how much of a packet is kept: that is made to tell its queue
(SKF_AD_QUEUE of linux/filter.h), whatever the driver; the number that `ethtool -S` has for it is another in each.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time

from tuning.offload.datagrams import agreed
from tuning.offload.wire import ALL, IPV4, Case, Order, Said, datagram, filtered

QUEUE = 0xFFFFF000 + 24  # SKF_AD_OFF + SKF_AD_QUEUE, linux/filter.h
KEPT = 40  # bytes of the shortest TCP segment over IPv4 that hold its ports; the queue is added to it
FLOW_BYTES = 400
QUEUES = 255  # that can be told: KEPT and the last of them are less than a segment with FLOW_BYTES


def queue_tap(name: str) -> socket.socket:
    """A tap of a device; of each packet KEPT bytes are kept and one for each queue before its own."""
    door = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    # A = the packet's queue; A &= 255; A += KEPT; keep A.
    filtered(door, (0x20, 0, 0, QUEUE), (0x54, 0, 0, 255), (0x04, 0, 0, KEPT), (0x16, 0, 0, 0))
    door.bind((name, ALL))
    door.setblocking(False)
    return door


def queues(door: socket.socket, ports: dict[int, int], sends: bool) -> list[list[int]]:
    """[number, queue] of each connection seen; `ports` are the connections' numbers by the sender's port.

    A packet that is no longer than what was to be kept of it tells nothing: with 34 queues and more that is a SYN, and
    those with payload tell. A driver tells of what comes in its queue and one (skb_record_rx_queue). One that does not
    tell leaves 0, but for veth, which leaves the sender's queue: that has the same number.
    """
    found: dict[int, int] = {}
    with contextlib.suppress(BlockingIOError):
        while True:
            got, where = door.recvfrom(KEPT + QUEUES + 1)
            if (where[2] == socket.PACKET_OUTGOING) == sends and (row := _queue(got, ports)):
                found[row[0]] = row[1]
    if not sends and not any(found.values()):
        return []
    first = 1 if not sends and 0 not in found.values() else 0
    return [[number, queue - first] for number, queue in sorted(found.items())]


def _queue(got: bytes, ports: dict[int, int]) -> tuple[int, int] | None:
    """A connection's number and the queue that a packet of it, as far as it was kept, tells; None of any other."""
    if got[12:14] != struct.pack("!H", IPV4) or len(got) < KEPT or got[23] != socket.IPPROTO_TCP:
        return None
    at, whole = 14 + (got[14] & 15) * 4, 14 + (got[16] << 8 | got[17])
    if at + 2 > len(got) or len(got) >= whole:
        return None
    number = ports.get(got[at] << 8 | got[at + 1])
    return None if number is None else (number, len(got) - KEPT)


def send_spread(order: Order, case: Case, link: socket.socket, device: str) -> Said:
    """All connections at the same time, a few bytes each; those that do not come about in time are left."""
    agreed(link, sends=True)
    port = struct.unpack("!H", link.recv(2))[0]
    flows, waiting = {}, select.poll()
    ports: dict[int, int] = {}
    cpus = sorted(os.sched_getaffinity(0))
    with contextlib.ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, cpus)
        door = stack.enter_context(queue_tap(device))
        for number in range(case["flows"]):
            flow = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            flow.setblocking(False)
            flow.bind((link.getsockname()[0], 0))
            ports[flow.getsockname()[1]] = number
            os.sched_setaffinity(0, {cpus[number % len(cpus)]})  # XPS picks the queue by the sender's CPU
            flow.connect_ex((link.getpeername()[0], port))
            flows[flow.fileno()] = (number, flow)
            waiting.register(flow, select.POLLOUT)
        until = time.monotonic() + case["patience_s"]
        while flows and time.monotonic() < until:
            for file, _ in waiting.poll(100):
                number, flow = flows.pop(file)
                waiting.unregister(file)
                os.sched_setaffinity(0, {cpus[number % len(cpus)]})
                with contextlib.suppress(OSError):
                    flow.sendall(datagram(order["pattern"], number, FLOW_BYTES))
        time.sleep(0.01)
        link.shutdown(socket.SHUT_WR)
        with contextlib.suppress(OSError):
            link.recv(1)
        return {"sent": case["flows"], "refused": "", "queues": queues(door, ports, sends=True)}


def take_spread(order: Order, case: Case, link: socket.socket, device: str) -> Said:
    """Which connections came, with what, and by which queue."""
    came: dict[int, bytes] = {}
    ports: dict[int, int] = {}
    with contextlib.ExitStack() as stack:
        door = stack.enter_context(queue_tap(device))
        doors = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        doors.bind((link.getsockname()[0], 0))
        doors.listen(case["flows"])
        agreed(link, sends=False)
        link.sendall(struct.pack("!H", doors.getsockname()[1]))
        open_ones: list[socket.socket] = []
        until, ended = time.monotonic() + case["limit_s"], False
        while time.monotonic() < until and len(came) < case["flows"]:
            ready, _, _ = select.select([doors, *open_ones] + ([] if ended else [link]), [], [], 0.04)
            if ended and not ready:
                break
            ended = ended or link in ready
            if doors in ready:
                open_ones.append(stack.enter_context(doors.accept()[0]))
            for flow in [each for each in ready if each not in (doors, link)]:
                open_ones.remove(flow)
                got = b""
                flow.settimeout(1.0)
                with contextlib.suppress(OSError):
                    got = flow.recv(FLOW_BYTES, socket.MSG_WAITALL)
                number = struct.unpack("!I", got[:4])[0] if len(got) >= 4 else -1
                ports[flow.getpeername()[1]] = number
                came[number] = got
        seen = queues(door, ports, sends=False)
    wrong = [number for number, got in came.items() if got != datagram(order["pattern"], max(0, number), FLOW_BYTES)]
    right = sorted(set(came) - set(wrong))
    return {"got": len(right), "wrong": len(wrong), "numbers": right, "queues": seen}
