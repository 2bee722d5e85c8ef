"""What each number means: unit, better direction, definition. One row per metric that a probe may yield."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A kind of number; `definition` is printed beside every figure and chart that shows it."""

    name: str
    unit: str
    better: Better
    definition: str
    label: str


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "goodput",
            "bit/s",
            "higher",
            "application bytes that the receiver read in the window, times 8, over the window's seconds",
            "goodput",
        ),
        Metric(
            "goodput_forward",
            "bit/s",
            "higher",
            "the part of goodput that the server read, while the client read the other",
            "goodput forward",
        ),
        Metric(
            "goodput_reverse",
            "bit/s",
            "higher",
            "the part of goodput that the client read, while the server read the other",
            "goodput reverse",
        ),
        Metric(
            "sent",
            "bit/s",
            "higher",
            "application bytes that the sender wrote in the window, times 8, over the window's seconds",
            "sent",
        ),
        Metric("offered", "bit/s", "higher", "payload that the plan asks the sender to send, per second", "offered"),
        Metric(
            "jitter",
            "s",
            "lower",
            "smoothed difference of the transit times of neighbouring datagrams, at the test's end (RFC 3550, 6.4.1)",
            "jitter",
        ),
        Metric(
            "lost_sender",
            "1",
            "lower",
            "datagrams dropped by the sender's own device and its queue, as a share of those sent in the whole test",
            "lost at the sender",
        ),
        Metric(
            "lost_path",
            "1",
            "lower",
            "datagrams dropped in devices and queues between, in softnet and at the receiver's device, as a share of "
            "those sent in the whole test",
            "lost on the path",
        ),
        Metric(
            "lost_receiver",
            "1",
            "lower",
            "datagrams dropped at the receiver's socket (Udp InErrors: its buffer was full, or a checksum wrong), as a "
            "share of those sent in the whole test",
            "lost at the receiver's socket",
        ),
        Metric(
            "lost_unaccounted",
            "1",
            "lower",
            "datagrams lost that no counter saw, as a share of those sent in the whole test; what was in flight at its "
            "end is among them",
            "lost, unaccounted",
        ),
        Metric("ndr", "1/s", "higher", "the largest rate of frames without any loss: the lower bound", "NDR"),
        Metric("ndr_high", "1/s", "higher", "a rate of frames at which some are lost: NDR's upper bound", "NDR, upper"),
        Metric("pdr", "1/s", "higher", "the largest rate of frames of which 0.5 % are lost: the lower bound", "PDR"),
        Metric("pdr_high", "1/s", "higher", "a rate of frames of which more are lost: PDR's upper bound", "PDR, upper"),
        Metric("pdr_goodput", "bit/s", "higher", "payload sent at PDR's lower bound", "payload at PDR"),
        Metric("goodput_least", "bit/s", "higher", "goodput of the pair that had the least", "least pair's goodput"),
        Metric(
            "dropped_packets",
            "1",
            "lower",
            "packets that the nodes' queues, the pairs' devices there and the kernels' backlogs dropped in the window",
            "dropped",
        ),
        Metric("connections_failed", "1", "lower", "pairs that could open no connections", "failed connecting"),
        Metric("tcp_efficiency", "1", "higher", "share of the bytes sent that were not sent again", "TCP efficiency"),
        Metric(
            "tcp_rtt", "s", "lower", "mean round trip of the streams, by TCP_INFO, over the whole test", "TCP's RTT"
        ),
        Metric("outage", "s", "lower", "longest time without a byte of a pair whose leg was taken away", "outage"),
        Metric("base_rtt", "s", "lower", "the same of one slow stream that is alone on the path", "idle RTT of TCP"),
        Metric("fairness", "1", "higher", "Jain's index over the pairs' goodputs: 1 where all are equal", "fairness"),
        Metric("cpu_share", "1", "lower", "busy CPU of the machine as a share of all its CPUs", "share of all CPUs"),
        Metric("start_skew", "s", "lower", "time between the first and the last start of a trial's pairs", "skew"),
        Metric("out_of_order", "1", "lower", "datagrams that came after a later one, or twice", "out of order"),
        Metric("retransmits", "1", "lower", "TCP segments sent again during the whole test", "retransmits"),
        Metric(
            "cpu_per_10gbit",
            "cores",
            "lower",
            "busy CPU of the machine (all but idle and iowait, from /proc/stat) per 10 Gbit/s delivered, "
            "over the whole probe",
            "CPU per 10 Gbit/s",
        ),
        Metric("cpu_busy", "cores", "lower", "busy CPU of the machine, from /proc/stat", "busy CPU"),
        Metric("cpu_softirq", "cores", "lower", "CPU in soft interrupts, from /proc/stat", "softirq CPU"),
        Metric("cpu_system", "cores", "lower", "CPU in the kernel, from /proc/stat", "system CPU"),
        Metric("cpu_user", "cores", "lower", "CPU in user space without guests, from /proc/stat", "user CPU"),
        Metric("cpu_vhost", "cores", "lower", "CPU of the threads that carry guests' packets, from /proc", "vhost CPU"),
        Metric("cpu_guest", "cores", "lower", "CPU given to guests, from /proc/stat", "guest CPU"),
        Metric("cpu_steal", "cores", "lower", "CPU withheld by the hypervisor, from /proc/stat", "stolen CPU"),
        Metric(
            "generator_busy",
            "%",
            "lower",
            "CPU of the busier iperf3 process as a share of one core",
            "generator busy",
        ),
        Metric(
            "alignment",
            "s",
            "lower",
            "half of the time within which the start of each process's test is known: it began after its client was "
            "started, and ended before its client was seen to end",
            "alignment of processes",
        ),
        Metric(
            "drops",
            "1",
            "lower",
            "packets dropped in the path's devices and queues, in softnet and at UDP sockets, as a share of those sent",
            "drops",
        ),
        Metric(
            "rtt_p50",
            "s",
            "lower",
            "median round-trip time of paced UDP packets on an idle path, user space to user space (irtt)",
            "median RTT",
        ),
        Metric(
            "rtt_p99",
            "s",
            "lower",
            "99th percentile of the same round-trip times; only with 368 samples or more",
            "p99 RTT",
        ),
        Metric("rtt_mean", "s", "lower", "mean of the same round-trip times", "mean RTT"),
        Metric("loss", "1", "lower", "share of the probe's packets that never arrived", "loss"),
        Metric(
            "load_asked",
            "bit/s",
            "higher",
            "payload per second that the load beside the probe was asked for",
            "load asked",
        ),
        Metric(
            "load_rate",
            "bit/s",
            "higher",
            "payload per second that the load's receiver got over the probe's window",
            "load reached",
        ),
        Metric(
            "requests", "1/s", "higher", "requests answered per second over connections kept open (wrk)", "requests"
        ),
        Metric("request_p50", "s", "lower", "median time from request to answer, back to back (wrk)", "median request"),
        Metric("request_p99", "s", "lower", "99th percentile of the same times; only with 368 or more", "p99 request"),
        Metric("connections", "1/s", "higher", "TCP connections per second, one request on each (wrk)", "connections"),
        Metric("held", "1", "higher", "1 where a check held in this trial, 0 where it did not", "held"),
        Metric(
            "outage_max",
            "s",
            "lower",
            "longest time for which no packet arrived while a leg of a bond failed and came back, over all switches",
            "longest outage",
        ),
        Metric("outage_p50", "s", "lower", "median over the switches of the longest outage of each", "median outage"),
        Metric(
            "outage_return_max",
            "s",
            "lower",
            "longest outage of those that began after the leg had come back",
            "longest outage at return",
        ),
        Metric(
            "lost_packets",
            "1",
            "lower",
            "packets that were lost over all switches, by the counts of both ends",
            "packets lost",
        ),
        Metric(
            "path_mtu",
            "bytes",
            "higher",
            "largest IP packet that passed whole (ping -M do), the smallest of both ways and all families",
            "path MTU",
        ),
        Metric("leaks", "1", "lower", "frames that passed between VLANs, of those sent that must not", "leaks"),
        Metric(
            "kept_apart",
            "1",
            "higher",
            "frames that did not pass between VLANs while their twins passed within one",
            "kept apart",
        ),
        Metric("pace", "s", "lower", "median time between two packets that the client sent", "pace"),
        Metric("errors", "1", "lower", "requests that failed: connecting, writing, reading, status, timeout", "errors"),
    )
}
