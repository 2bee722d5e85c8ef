"""Where datagrams were lost: from the kernel's counters around a probe. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.facts.counters import Counters, grown
from bench.hosts.host import Host
from bench.labs.lab import Lab, PathDevice
from bench.probes.probe import Datagrams

PLACES = ("sender", "path", "receiver", "unaccounted")
_AGREE = 0.01  # of the datagrams sent, by which iperf3 and the kernel may differ
_FEW = 16  # datagrams: the handshake, and what is in flight when a counter is read


@dataclass(frozen=True, slots=True)
class Losses:
    """Datagrams, by the place where they were lost; `unaccounted` were seen by no counter."""

    sender: int  # in the queue or driver of its own device
    path: int  # in queues and devices between, in softnet, at the receiver's device
    receiver: int  # at its socket: buffer full, checksum wrong
    unaccounted: int
    flags: tuple[str, ...] = ()  # what speaks against the numbers


def dropped_at(each: PathDevice, before: Mapping[str, Counters], after: Mapping[str, Counters]) -> int:
    """Packets that a device or its queue dropped, either way."""
    name = each.host.name
    queue = grown(before[name].queues, after[name].queues).get(each.device, 0)
    return device_dropped(before[name], after[name], each.device) + max(0, queue)


def device_dropped(before: Counters, after: Counters, device: str) -> int:
    """Packets that a device itself dropped, either way; one that was not there before had dropped none."""
    seen = grown(before.devices.get(device, {}), after.devices[device])
    return max(0, seen["rx_dropped"]) + max(0, seen["tx_dropped"])


def stack_grown(host: Host, name: str, before: Mapping[str, Counters], after: Mapping[str, Counters]) -> int:
    """How much a counter of a host's stack ("Udp.InErrors") grew."""
    return max(0, grown(before[host.name].stack, after[host.name].stack).get(name, 0))


def softnet_dropped(kernels: Iterable[Host], before: Mapping[str, Counters], after: Mapping[str, Counters]) -> int:
    """Packets that backlogs dropped: softnet_stat is a whole kernel's, so of each one host is asked."""
    names = [host.name for host in kernels]
    return sum(max(0, grown(before[name].softnet, after[name].softnet).get("dropped", 0)) for name in names)


def placed(lab: Lab, datagrams: Datagrams, before: Mapping[str, Counters], after: Mapping[str, Counters]) -> Losses:
    """Where the datagrams were lost that were sent and not received."""
    sender, receiver = datagrams.sender, datagrams.receiver
    at_sender = between = 0
    for each in lab.between(sender, receiver):
        if each.host is sender.host:
            at_sender += dropped_at(each, before, after)
        else:
            between += dropped_at(each, before, after)
    between += softnet_dropped(lab.own_kernels, before, after)
    family = "6" if ":" in receiver.address else "."  # "Udp.InErrors", "Udp6InErrors"
    at_socket = stack_grown(receiver.host, f"Udp{family}InErrors", before, after)
    lost = max(0, datagrams.sent - datagrams.received)
    taken = stack_grown(receiver.host, f"Udp{family}InDatagrams", before, after)
    flags = []
    if abs(taken - datagrams.received) > _AGREE * datagrams.sent + _FEW:
        flags.append(f"iperf3 received {datagrams.received} datagrams, the receiver's kernel handed out {taken}")
    fragments = stack_grown(sender.host, f"Ip{family}FragCreates", before, after)
    if fragments > _FEW:
        flags.append(f"datagrams were fragmented ({fragments} fragments): drops are counted in fragments")
    return Losses(at_sender, between, at_socket, max(0, lost - at_sender - between - at_socket), tuple(flags))
