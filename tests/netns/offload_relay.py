"""A bad NIC: takes every frame from one port to the other with its virtio-net header, and does one thing wrong.

Run as a program in the node's namespace: `offload_relay.py FAULT FLAG PORT_A PORT_B`; prints "ready". Its ports are
veths or the taps of guests: the kernel makes the same header for either. That keeps what a wire would have had a NIC
do (segments to cut, checksums to fill in), so that the relay itself takes no offload away. What goes wrong does so from
a to b only.
"""

import array
import contextlib
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.labs.lab import Lab
from tests.netns.standing_hosts import waited

SOL_PACKET, AUXDATA, VNET_HDR, IGNORE_OUTGOING = 263, 8, 15, 23  # linux/if_packet.h
NEEDS_CSUM, UDP_L4 = 1, 5  # linux/virtio_net.h
HEADER = struct.Struct("<BBHHHH")  # flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
STALLS_S = 1.0  # after its first payload: guests take their time until then
DIES_AFTER = 300  # of 2900 in 4 MB without TSO; with it a few
PAUSES_AT_S = 1.3  # for 1.2 s: what was lost is sent again after 1.4 s (0.2, 0.4 and 0.8 s after one another)


class Frame:
    """One frame with its header, and where its parts are; IPv4 only is looked into."""

    def __init__(self, got: bytearray) -> None:
        self.flags, self.gso_type, self.header_bytes, self.gso_size, self.start, self.offset = HEADER.unpack_from(got)
        self.data = got[HEADER.size :]
        ip = self.data[12:14] == b"\x08\x00"
        self.protocol = self.data[23] if ip else 0
        inner = 14 + (self.data[14] & 15) * 4 if ip else 0
        self.payload = 0 if not ip else inner + ((self.data[inner + 12] >> 4) * 4 if self.protocol == 6 else 8)

    @property
    def carries(self) -> int:
        """Bytes of TCP's or UDP's payload."""
        length = int.from_bytes(self.data[16:18], "big") if self.protocol in {6, 17} else 0
        return max(0, 14 + length - self.payload) if length else 0

    def flipped(self, at: int = 20) -> "Frame":
        """With another byte in its payload."""
        self.data[self.payload + at] ^= 0x40
        return self

    def summed(self) -> "Frame":
        """With its checksum filled in, as a NIC does."""
        if self.flags & NEEDS_CSUM:
            at = self.start + self.offset
            body = bytes(self.data[self.start :])
            body += b"\0" * (len(body) % 2)
            total = sum(struct.unpack(f"!{len(body) // 2}H", body))
            while total >> 16:
                total = (total & 0xFFFF) + (total >> 16)
            self.data[at : at + 2] = struct.pack("!H", total ^ 0xFFFF or 0xFFFF)
            self.flags &= ~NEEDS_CSUM
        return self

    def bytes(self) -> bytes:
        """As it is sent."""
        head = (self.flags, self.gso_type, self.header_bytes, self.gso_size, self.start, self.offset)
        return HEADER.pack(*head) + bytes(self.data)


_COUNT = {"seen": 0}
_LOADED: list[float] = []  # when the first payload of TCP passed
_BEGAN = time.monotonic()


def _each(number: int) -> bool:
    _COUNT["seen"] += 1
    return _COUNT["seen"] % number == 0


def _corrupts(frame: Frame) -> list[Frame]:
    """A byte flipped before the checksum is made: nobody but the application can see it."""
    return [frame.flipped() if frame.protocol == 6 and frame.carries > 400 and _each(3) else frame]


def _corrupts_late(frame: Frame) -> list[Frame]:
    """A byte flipped after the checksum was made: the receiver drops the packet."""
    wrong = frame.protocol == 6 and frame.carries > 400 and not frame.gso_type and _each(5)
    return [frame.summed().flipped() if wrong else frame]


def _corrupts_super(frame: Frame) -> list[Frame]:
    """A byte flipped where the NIC cuts up TCP segments."""
    return [frame.flipped() if frame.protocol == 6 and frame.gso_type and frame.carries > 5000 else frame]


def _corrupts_odd(frame: Frame) -> list[Frame]:
    """The last byte of odd lengths."""
    odd = frame.protocol == 6 and frame.carries > 400 and frame.carries % 2 and not frame.gso_type
    return [frame.flipped(frame.carries - 1) if odd else frame]


def _drops_super(frame: Frame) -> list[Frame]:
    """TCP segments that the NIC would have to cut up never leave it."""
    return [] if frame.protocol == 6 and frame.gso_type else [frame]


def _hangs(frame: Frame) -> list[Frame]:
    """After the connection nothing that carries more than a few bytes passes."""
    return [] if frame.protocol == 6 and frame.carries > 64 else [frame]


def _stalls(frame: Frame) -> list[Frame]:
    """Payload passes for a while, and then nothing does."""
    if not _LOADED and frame.protocol == 6 and frame.carries > 400:
        _LOADED.append(time.monotonic())
    return [] if _LOADED and time.monotonic() - _LOADED[0] > STALLS_S else [frame]


def _dies(frame: Frame) -> list[Frame]:
    """Once it was sent some hundred full segments that nobody left it to cut up, nothing passes any more."""
    _COUNT["seen"] += frame.protocol == 6 and frame.carries > 1400 and not frame.gso_type
    return [] if _COUNT["seen"] > DIES_AFTER else [frame]


def _pauses(frame: Frame) -> list[Frame]:
    """More than a second in each two and a half no payload of TCP passes; then it does again."""
    silent = (time.monotonic() - _BEGAN) % 2.5 > PAUSES_AT_S
    return [] if frame.protocol == 6 and frame.carries > 400 and silent else [frame]


def _missizes(frame: Frame) -> list[Frame]:
    """UDP segments are cut in another size than was asked for."""
    if frame.protocol == 17 and frame.gso_type == UDP_L4:
        frame.gso_size -= 100
    return [frame]


def _scrambles_gso(frame: Frame) -> list[Frame]:
    """A byte of UDP that the NIC cuts up is another."""
    return [frame.flipped(40) if frame.protocol == 17 and frame.gso_type == UDP_L4 else frame]


def _drops_gso(frame: Frame) -> list[Frame]:
    """UDP that the NIC would have to cut up never leaves it."""
    return [] if frame.protocol == 17 and frame.gso_type == UDP_L4 else [frame]


def _trusts(frame: Frame) -> list[Frame]:
    """Packets with a wrong checksum are passed on as found right."""
    if frame.protocol == 17 and not frame.flags & NEEDS_CSUM:
        frame.flags |= NEEDS_CSUM
        frame.start, frame.offset = frame.payload - 8, 6
    return [frame]


def _doubles(frame: Frame) -> list[Frame]:
    """Datagrams come twice."""
    return [frame, frame] if frame.protocol == 17 and frame.carries > 40 else [frame]


def _loses(frame: Frame) -> list[Frame]:
    """One datagram in five is lost."""
    return [] if frame.protocol == 17 and frame.carries > 40 and _each(5) else [frame]


def _nothing(frame: Frame) -> list[Frame]:
    """No fault; what a tunnel would have the NIC cut up never passes the relay, whatever it does."""
    return [frame]


FAULTS: dict[str, Callable[[Frame], list[Frame]]] = {
    "nothing": _nothing, "corrupts": _corrupts, "corrupts late": _corrupts_late, "corrupts super": _corrupts_super,
    "corrupts odd": _corrupts_odd, "drops super": _drops_super, "hangs": _hangs, "stalls": _stalls,
    "pauses": _pauses,
    "missizes": _missizes, "scrambles gso": _scrambles_gso, "drops gso": _drops_gso, "trusts": _trusts,
    "doubles": _doubles, "loses": _loses, "strips tags": _nothing, "wrong tags": _nothing,
    "drops tunnels": _nothing, "queue stands": _nothing, "dies": _dies, "loses tags": _nothing,
}  # fmt: skip


def _port(name: str, fault: str) -> socket.socket:
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    port.setsockopt(SOL_PACKET, VNET_HDR, 1)
    port.setsockopt(SOL_PACKET, IGNORE_OUTGOING, 1)
    port.setsockopt(SOL_PACKET, AUXDATA, 1)
    port.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    if fault == "queue stands":
        # IPv4 that came in by the second queue is not seen: A = the protocol, then the queue; 1 -> nothing, else all of
        # it. A veth tells the queue as its sender has it. ARP has no ports: the kernel deals all of it to one queue, by
        # a number of each boot, and where that is the second nothing at all would pass.
        rows = ((0x28, 0, 0, 12), (0x15, 0, 2, 0x0800), (0x20, 0, 0, 0xFFFFF000 + 24), (0x15, 1, 0, 1),
                (0x06, 0, 0, 0x40000), (0x06, 0, 0, 0))  # fmt: skip
        code = array.array("B", b"".join(struct.pack("HBBI", *row) for row in rows))
        port.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HP", len(rows), code.buffer_info()[0]))
    port.bind((name, 3))  # ETH_P_ALL
    return port


def _tag(aux: list[tuple[int, int, bytes]]) -> bytes:
    for level, kind, data in aux:
        if (level, kind) == (SOL_PACKET, AUXDATA):
            status, _, _, _, _, tci, tpid = struct.unpack("IIIHHHH", data[:20])
            return struct.pack("!HH", tpid or 0x8100, tci) if status & 16 else b""
    return b""


def main() -> None:
    """Until it is ended."""
    fault, flag, *names = sys.argv[1:]
    ports = [_port(name, fault if name == names[0] else "") for name in names]
    room = bytearray(HEADER.size + 70000)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for port in select.select(ports, [], [])[0]:
            try:
                size, aux, _, _ = port.recvmsg_into([room], 256)
            except OSError:  # what no virtio-net header can tell of (EINVAL): a tunnel's segments to cut up
                continue
            other = ports[1 - ports.index(port)]
            frame = Frame(room[:size])
            bad = port is ports[0]
            if tag := _tag(aux):
                if bad and fault == "loses tags" and not Path(flag).exists():
                    continue
                tag = (
                    b""
                    if bad and fault == "strips tags"
                    else b"\x81\x00\x00\x07"
                    if bad and fault == "wrong tags"
                    else tag
                )
                frame.data[12:12] = tag
            for each in FAULTS[fault](frame) if bad or fault in {"stalls", "dies"} else [frame]:
                with contextlib.suppress(OSError):  # a port that is down, or full
                    other.send(each.bytes())


@contextlib.contextmanager
def relaying(lab: Lab, fault: str, flag: Path = Path("/no/such")) -> Iterator[None]:
    """The lab's bridge replaced by a relay with that fault, for as long as the lab stands.

    "loses tags" takes a driver that makes the file `flag` while the fault is off.
    """
    node: Host = lab.nodes[0]
    lines = "".join(f"link set {name} nomaster\n" for name in ("port-a", "port-b"))
    node.run(Command(("ip", "-batch", "-"), stdin=lines)).require()
    if fault == "drops tunnels":  # of both ports: of what b sends nothing is to be cut up
        lab.b.host.run(Command(("ethtool", "-K", "eth0", "tx-udp_tnl-segmentation", "off"))).require()
    command = Command(
        ("env", f"PYTHONPATH={os.pathsep.join(sys.path)}", sys.executable, "-m", "tests.netns.offload_relay", fault,
         str(flag), "port-a", "port-b"), deadline_s=900)  # fmt: skip
    with node.start(command) as job:
        waited(lambda: "ready" in job.output() or job.finished(), 20)
        assert not job.finished(), job.stop().stderr
        yield


if __name__ == "__main__":
    main()
