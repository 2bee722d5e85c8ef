"""What voids a trial: causes that are independent of its outcome. Nothing here looks at whether a number is good."""

from collections.abc import Mapping, Sequence

from bench.facts.counters import Counters, grown
from bench.facts.sheet import Difference, Sheets, differences
from bench.labs.lab import Lab, PathDevice
from bench.losses import dropped_at, softnet_dropped, stack_grown
from bench.probes.probe import Measured
from bench.treatment import Treatment
from results.errors import NotAble, first_of

_COUNTED = 0.99  # of the bytes that arrived must have passed each device of the path; headers only add to them
_TOLD = 4  # differences named in a cause


class Untrusted(NotAble):
    """The trial is void; the message is its cause."""


def path_was_taken(
    path: Sequence[PathDevice], measured: Measured, before: Mapping[str, Counters], after: Mapping[str, Counters]
) -> None:
    """Every counting device of the path saw what arrived, each way. Raises Untrusted naming the one that did not."""
    if not measured.delivered_bytes:
        return
    for each in path:
        if not each.counts:
            continue
        name = each.host.name
        try:
            seen = grown(before[name].devices[each.device], after[name].devices[each.device])
        except KeyError:
            raise Untrusted(f"wrong path: {name} lost its device {each.device}") from None
        # Which way a device receives depends on its place: the larger count goes with the larger way.
        counted = sorted((seen["rx_bytes"], seen["tx_bytes"]))
        for passed, arrived in zip(counted, sorted((measured.returned_bytes, measured.delivered_bytes)), strict=True):
            if passed < _COUNTED * arrived:
                raise Untrusted(f"wrong path: {arrived} bytes arrived, {name}/{each.device} counted {passed}")


def dropped(lab: Lab, before: Mapping[str, Counters], after: Mapping[str, Counters]) -> tuple[int, int]:
    """(packets dropped in the path's devices and queues, in softnet, at UDP sockets; packets that endpoints sent)."""
    drops = sent = 0
    for each in lab.path:
        name = each.host.name
        seen = grown(before[name].devices[each.device], after[name].devices[each.device])
        drops += dropped_at(each, before, after)
        if each.host not in lab.nodes:
            sent += max(0, seen["tx_packets"])
    sockets = [(end.host, name) for end in lab.endpoints for name in ("Udp.InErrors", "Udp6InErrors")]
    drops += sum(stack_grown(host, name, before, after) for host, name in sockets)
    return drops + softnet_dropped(lab.own_kernels, before, after), sent


def treatment_explains(treatment: Treatment, baseline: Sheets, within: Sheets) -> None:
    """The only difference to current is the treatment. Raises Untrusted naming what else differs."""
    odd = [each for each in differences(baseline, within) if not treatment.explains(each)]
    if odd:
        raise Untrusted(f"unexplained facts under {treatment.name}: {first_of(odd, _TOLD, between='; ')}")


def nothing_moved(within: Sheets, after: Sheets) -> None:
    """The facts did not change during the trial. Raises Untrusted naming what did."""
    none_moved(differences(within, after))


def none_moved(odd: Sequence[Difference]) -> None:
    """Raises Untrusted where there are any."""
    if odd:
        raise Untrusted(f"facts changed during the trial: {first_of(odd, _TOLD, between='; ')}")
