"""What voids a trial: the wrong path, facts that nobody explains, facts that moved."""

from dataclasses import replace

import pytest

from bench import trust
from bench.facts.counters import Counters
from bench.facts.sheet import Difference, FactSheet, Sheets
from bench.probes.probe import Measured
from bench.treatment import Nothing
from tests.unit.bench.fakes import lab

LAB = lab("bridge")
ZERO = {"rx_bytes": 0, "tx_bytes": 0, "rx_dropped": 0, "tx_dropped": 0, "rx_packets": 0, "tx_packets": 0}
BEFORE = {
    host.name: Counters(
        0.0, {}, {each.device: ZERO for each in LAB.path if each.host is host},
        {"processed": 0, "dropped": 0, "squeezed": 0}, {},
    )
    for host in LAB.hosts
}  # fmt: skip


def _after(**counts: int) -> dict[str, Counters]:
    """Every device of the path counted the same."""
    return {name: replace(each, devices=dict.fromkeys(each.devices, ZERO | counts)) for name, each in BEFORE.items()}


def _with(after: dict[str, Counters], host: str, device: str, **counts: int) -> dict[str, Counters]:
    devices = {**after[host].devices, device: ZERO | counts}
    return after | {host: replace(after[host], devices=devices)}


def _measured(delivered_bytes: int) -> Measured:
    return Measured((), {}, delivered_bytes=delivered_bytes)


@pytest.mark.parametrize("counts", [{"rx_bytes": 1000}, {"tx_bytes": 1000}, {"rx_bytes": 991}, {"tx_bytes": 5000}])
def test_a_path_whose_devices_counted_the_bytes_was_taken(counts: dict[str, int]) -> None:
    """In either direction; headers and acknowledgements only add to them."""
    trust.path_was_taken(LAB.path, _measured(1000), BEFORE, _after(**counts))


def test_a_device_that_counted_too_little_voids_the_trial() -> None:
    """Bytes that went another way were not measured on this path; the device is named."""
    after = _with(_after(rx_bytes=1000), "node", "port-b", rx_bytes=900, tx_bytes=900)
    with pytest.raises(trust.Untrusted, match=r"wrong path: 1000 bytes arrived, node/port-b counted 900"):
        trust.path_was_taken(LAB.path, _measured(1000), BEFORE, after)


@pytest.mark.parametrize("counts", [{"rx_bytes": 1000, "tx_bytes": 400}, {"rx_bytes": 400, "tx_bytes": 1000}])
def test_both_ways_are_looked_for_in_both_counters(counts: dict[str, int]) -> None:
    """Whichever way a device receives; a device that saw one way only was not on the path of the other."""
    measured = replace(_measured(1000), returned_bytes=400)
    trust.path_was_taken(LAB.path, measured, BEFORE, _after(**counts))
    with pytest.raises(trust.Untrusted, match="wrong path: 400 bytes arrived, a/eth0 counted 300"):
        trust.path_was_taken(LAB.path, measured, BEFORE, _after(rx_bytes=1000, tx_bytes=300))


def test_a_bridge_is_not_asked_for_what_it_forwards() -> None:
    """Its own counters see only what is meant for itself."""
    trust.path_was_taken(LAB.path, _measured(1000), BEFORE, _with(_after(rx_bytes=1000), "node", "br0"))


def test_a_device_that_is_gone_voids_the_trial() -> None:
    """Before the counters are subtracted."""
    after = _after(rx_bytes=1000)
    after["a"] = replace(after["a"], devices={})
    with pytest.raises(trust.Untrusted, match="a lost its device eth0"):
        trust.path_was_taken(LAB.path, _measured(1000), BEFORE, after)


def test_a_probe_that_moves_no_data_takes_no_path() -> None:
    """Latency packets are too few to be told from the noise of the counters."""
    trust.path_was_taken(LAB.path, _measured(0), BEFORE, BEFORE)


def test_drops_are_summed_over_the_path_and_softnet_once() -> None:
    """Sent packets are those of the ends; a counter that was reset drops nothing."""
    after = _after(rx_dropped=1, tx_dropped=2, tx_packets=100)
    after = {name: replace(each, softnet={"processed": 9, "dropped": 7, "squeezed": 0}) for name, each in after.items()}
    before = _with(dict(BEFORE), "node", "port-a", rx_dropped=50)

    assert trust.dropped(LAB, before, after) == (5 * 3 - 1 + 7, 200)


def _sheets(**facts: str) -> Sheets:
    return {"a": FactSheet("a", facts)}


class _Mtu(Nothing):
    """Explains the MTU and nothing else."""

    def explains(self, difference: Difference) -> bool:
        """See Treatment.explains."""
        return difference.key == "mtu"


def test_only_the_treatment_may_differ_from_current() -> None:
    """What it explains passes; anything else is named, a long list in part."""
    trust.treatment_explains(_Mtu("jumbo"), _sheets(mtu="1500"), _sheets(mtu="9000"))
    with pytest.raises(trust.Untrusted, match=r"under jumbo: a: qdisc: absent -> 'fq'") as raised:
        trust.treatment_explains(_Mtu("jumbo"), _sheets(mtu="1500"), _sheets(mtu="9000", qdisc="fq"))
    many = _sheets(**{f"k{number}": "1" for number in range(7)})
    with pytest.raises(trust.Untrusted, match=r"and 3 more$"):
        trust.treatment_explains(_Mtu("jumbo"), _sheets(), many)

    assert "mtu" not in str(raised.value)


def test_facts_may_not_move_during_a_trial() -> None:
    """Somebody else at work on the host voids the trial, and is shown."""
    trust.nothing_moved(_sheets(mtu="1500"), _sheets(mtu="1500"))
    with pytest.raises(trust.Untrusted, match=r"facts changed during the trial: a: mtu: '1500' -> '1400'"):
        trust.nothing_moved(_sheets(mtu="1500"), _sheets(mtu="1400"))


def test_what_queues_and_sockets_drop_counts_among_the_drops() -> None:
    """A full queue drops without its device counting it, and so does a full UDP socket."""
    after = _after(tx_packets=50, rx_dropped=1)
    after["node"] = replace(after["node"], queues={"port-b": 20})
    after["b"] = replace(after["b"], stack={"Udp.InErrors": 9})

    assert trust.dropped(LAB, BEFORE, after)[0] == 5 + 20 + 9  # the path has five devices
