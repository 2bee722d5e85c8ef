"""What load a shared link bears: each probe held to a rate, or refused by name. Pure.

A share is of what passes on the wire. tcp is held by iperf3 and by the kernel's pacing, both ways of it apart: links
are full duplex. A flood of udp becomes
the share, on the wire; a stated rate above it is refused, as is a train or a crowd of requests that may pass it. A load
beside latency is a share of a rate that an earlier probe reached under the same limit, so it is held with that.
"""

import math
from dataclasses import replace

from bench.labs.topology import Topology
from bench.probes.iperf3 import Tcp
from bench.probes.latency import Latency
from bench.probes.probe import Probe
from bench.probes.rate import Rate
from bench.probes.requests import Requests
from bench.probes.udp import Udp
from results.errors import NotAble

# Beside an IP packet on Ethernet: preamble 8, header 14, checksum 4, gap 12 (IEEE 802.3).
_FRAME_BYTES = 38
_GAP_BYTES = 20  # of them the preamble and the gap, which no frame size counts
_IP_BYTES = {4: 20, 6: 40}
_UDP_BYTES = 8
_TCP_BYTES = 32  # with the timestamps that Linux sends
# One connection asks again when it has its answer: 20,000 times a second where a round trip through both programs takes
# 50 us (measured: 75 us), each time with two frames of 300 bytes at most, one each way.
_CONNECTION_BPS = 20_000 * 300 * 8.0


def wire_bytes(size_bytes: int, topology: Topology) -> int:
    """What a datagram's payload takes on Ethernet, in as many fragments as the path's MTU makes of it."""
    header = _IP_BYTES[topology.ip]
    frames = math.ceil((size_bytes + _UDP_BYTES) / (topology.mtu - header))
    return size_bytes + _UDP_BYTES + frames * (header + _FRAME_BYTES)


def tcp_share(mss_bytes: int, topology: Topology) -> float:
    """The part of a TCP stream's Ethernet frames that is goodput; `mss_bytes` of 0 is the path's own.

    The kernel paces by what the socket hands down: one header for a whole burst that the NIC segments.
    """
    headers = _IP_BYTES[topology.ip] + _TCP_BYTES
    segment = min(mss_bytes or topology.mtu, topology.mtu - headers)
    return segment / (segment + headers + _FRAME_BYTES)


def held(probe: Probe, cap_bps: float, topology: Topology) -> Probe:
    """The probe as a link bears it that leaves `cap_bps` each way. Raises NotAble naming the probe that it cannot."""
    match probe:
        case Tcp():
            return replace(probe, most_bps=cap_bps * tcp_share(probe.mss_bytes, topology))
        case Udp():
            payload_mbit = cap_bps / 1e6 * probe.size_bytes / wire_bytes(probe.size_bytes, topology)
            if probe.rate_mbit > payload_mbit:
                raise _above(probe, f"{probe.rate_mbit:g} Mbit/s", cap_bps, f"rate_mbit={math.floor(payload_mbit)}")
            return probe if probe.rate_mbit else replace(probe, rate_mbit=payload_mbit, capped=True)
        case Rate():
            bps = probe.most_fps * (probe.frame_bytes + _GAP_BYTES) * 8
            if bps > cap_bps:
                most = math.floor(cap_bps / bps * probe.most_mbit)
                what = f"its search begins at {bps / 1e6:.4g} Mbit/s on the wire"
                raise _above(probe, what, cap_bps, f"most_mbit={most}")
        case Latency():
            bps = wire_bytes(probe.size_bytes, topology) * 8 / probe.interval_s
            if bps > cap_bps:
                raise _above(probe, f"its packets make {bps / 1e6:.4g} Mbit/s", cap_bps, "interval_s=0.01")
        case Requests():
            most = math.floor(cap_bps / _CONNECTION_BPS)
            if probe.connections > max(1, most):
                what = f"{probe.connections} connections may make {probe.connections * _CONNECTION_BPS / 1e6:g} Mbit/s"
                raise _above(probe, what, cap_bps, f"connections={max(1, most)}")
    return probe


def _above(probe: Probe, what: str, cap_bps: float, instead: str) -> NotAble:
    return NotAble(
        f"probe {probe.name}: {what}, and the share of the link is {cap_bps / 1e6:.4g} Mbit/s",
        hint=f"--set {probe.name}.{instead}, or a larger --max-share",
    )
