"""Offload validation between guests: real drivers with real feature bits, some of which QEMU withholds."""

import json
from pathlib import Path

import pytest

from bench.facts.sheet import Sheets, differences
from bench.hosts.command import Command
from bench.labs import qemu
from bench.labs.guests import WITHHELD, Guests
from bench.labs.lab import Endpoint, Lab
from bench.labs.topology import Topology
from bench.probes.path_mtu import addresses
from tests.netns.nettune_command import nettune
from tests.vm.kit import kit, leases
from tuning.journal import kept
from tuning.offload import cases, exchange
from tuning.offload.document import failed
from tuning.offload.evidence import Validation, Verdict
from tuning.offload.exchange import End
from tuning.offload.over import OVERS
from tuning.offload.validating import Wanted, concluded, observe

SMALL = Guests(memory_mb=384)
DRIVERS = {"virtio-net": "virtio_net", "rtl8139": "8139cp"}
TSO, SUMS = "tx-tcp-segmentation", "tx-checksum-ip-generic"
TSO6, ECN, MERGED, FILTER = "tx-tcp6-segmentation", "tx-tcp-ecn-segmentation", "rx-gro-hw", "rx-vlan-filter"
# What QEMU does not offer, and what must be said of the guest's features then. On the way to the host's stack nothing
# looks at a checksum that is left to the device, and nothing is on a wire: rx-checksum cannot be judged.
KINDS: dict[str, tuple[Guests, dict[str, Verdict]]] = {
    "virtio-net": (
        SMALL,
        {TSO: "works", SUMS: "works", "rx-gro": "works", "rx-gro-hw": "works", "rx-checksum": "can't be judged here"},
    ),
    "without host_tso4": (Guests(memory_mb=384, nic_off=("host_tso4",)), {TSO: "not present", SUMS: "works"}),
    "without csum": (Guests(memory_mb=384, nic_off=("csum",)), {TSO: "not present", SUMS: "not present"}),
    # It has LRO, which a VLAN device takes from it: tags are looked at where it is off.
    "vmxnet3": (
        Guests(memory_mb=384, nic="vmxnet3"),
        {TSO: "works", SUMS: "works", "tx-vlan-hw-insert": "works", "tx-gre-segmentation": "not present"},
    ),
    # What QEMU's model does wrong is found: no hash, and the checksum within GRE that has one itself is left as it was,
    # seen as retransmissions.
    "e1000e": (
        Guests(memory_mb=384, nic="e1000e"),
        {
            TSO: "works",
            SUMS: "drops",
            "rx-checksum": "works",
            "rx-hashing": "claimed but not engaged",
            "tx-vlan-hw-insert": "refused",
            "tx-gre-csum-segmentation": "not present",
        },
    ),
    # It sums nothing behind a tag that is in the frame: a connection does not come about.
    "rtl8139": (
        Guests(memory_mb=384, nic="rtl8139"),
        {TSO: "works", "tx-checksum-ipv4": "works", SUMS: "not present", "tx-vlan-hw-insert": "hangs"},
    ),
    "of two queues": (Guests(memory_mb=384, cpus=2, queues=2), {TSO: "works", "tx-ipxip4-segmentation": "not present"}),
}
# A NIC from which nothing is withheld, by what a guest is told of its own.
OFFERED: dict[str, Verdict] = {
    TSO: "works", TSO6: "works", ECN: "can't be judged here", SUMS: "works", MERGED: "works",
    "rx-checksum": "can't be judged here", FILTER: "can't be judged here",
}  # fmt: skip
# The bit of each word of QEMU's (linux/virtio_net.h, virtio_ring.h), and what of the above is otherwise without it.
# Linux has one feature for what comes merged of both families, seen by IPv4, and goes on claiming it without the
# checksums that it rests on. It has none any more for UFO, and none for ECN that comes merged, for buffers and events.
WORDS: dict[str, tuple[int, dict[str, Verdict]]] = {
    "csum": (0, {**dict.fromkeys((TSO, TSO6, ECN, SUMS), "not present"), MERGED: "can't be judged here"}),
    "guest_csum": (1, {MERGED: "claimed but not engaged"}),
    "ctrl_guest_offloads": (2, {MERGED: "can't be judged here"}),  # on, and the driver cannot have it otherwise
    "gso": (6, {}),  # of devices before virtio 1.0
    "guest_tso4": (7, {MERGED: "claimed but not engaged"}),
    "guest_tso6": (8, {}),
    "guest_ecn": (9, {}),
    "guest_ufo": (10, {}),
    "host_tso4": (11, {TSO: "not present", MERGED: "can't be judged here"}),  # its partner sends none large
    "host_tso6": (12, {TSO6: "not present"}),
    "host_ecn": (13, {ECN: "not present"}),
    "host_ufo": (14, {}),
    "mrg_rxbuf": (15, {}),
    "ctrl_vlan": (19, {FILTER: "not present"}),
    "event_idx": (29, {}),
}


def _load(lab: Lab) -> None:
    """What validating loads into guests, whose modules make devices of their own, once."""
    modules = sorted({each.module for each in OVERS.values()})
    for end in lab.endpoints:
        end.host.run(Command(("modprobe", "-a", *modules))).require()


@pytest.mark.quiet
@pytest.mark.sampled(1)
@pytest.mark.parametrize(("guests", "verdicts"), KINDS.values(), ids=KINDS)
def test_what_a_guest_s_nic_can_do_is_found(tmp_path: Path, guests: Guests, verdicts: dict[str, Verdict]) -> None:
    """Each feature by its kernel string; payload is whole; both guests are as they were."""
    with qemu.standing(Topology("bridge"), kit(guests), leases_folder=leases(tmp_path)) as lab:
        _load(lab)
        before = lab.read()
        with kept(tmp_path / "journal.jsonl") as journal:
            levels = frozenset({"inventory", "negotiation", "function", "engaged", "restored"})
            wanted = Wanted(levels=levels, features=tuple(verdicts), bulk_bytes=4_000_000)  # type: ignore[arg-type] # of Level
            found: Validation = concluded(observe(lab, wanted, journal), {})

        assert differences(before, lab.read()) == ()
    rows = {(row.feature, row.direction): row for row in found.features}
    told = {name: row.verdict for (name, _), row in rows.items() if name in verdicts}
    assert told == verdicts, {
        name: row.evidence for (name, _), row in rows.items() if verdicts.get(name) != row.verdict
    }
    queues = "works" if guests.queues > 1 else "not present"
    assert (rows["queues", "tx"].verdict, rows["queues", "rx"].verdict) == (queues, queues)
    unjudged = [said for row in rows.values() if "not judged" in (said := row.evidence.get("function", ""))]
    # A kernel cuts up no datagrams for a NIC that sums none (udp_send_skb): UDP_SEGMENT is refused.
    kinds = "gso4, gso6" if "csum" in guests.nic_off else "gso6" if guests.nic == "rtl8139" else "nothing"
    refused = f"; not judged: {kinds}: the sender's kernel refused: [Errno 5] Input/output error"
    assert all(said.endswith(refused) for said in unjudged), unjudged
    payload = "drops" if guests.nic == "e1000e" else "works"
    assert (rows["payload", "tx"].verdict, rows["payload", "rx"].verdict) == (payload, payload)
    if "rx-gro" in verdicts:
        assert rows["udp-gro", "rx"].verdict == "works", rows["udp-gro", "rx"].evidence
    assert {each.level: each.outcome for each in found.levels}["restored"] == "ok"
    assert [each for each in found.notes if "no hardware" in each or "virtual machine" in each]
    assert found.nic.driver == DRIVERS.get(guests.nic, guests.nic)


@pytest.mark.sampled(1, "words of QEMU")
@pytest.mark.parametrize("word", WITHHELD)
def test_what_qemu_withholds_is_missing_and_nothing_else(tmp_path: Path, word: str) -> None:
    """Of all that a guest's NIC has, by negotiation and by packets; payload is whole, and all is put back."""
    bit, otherwise = WORDS[word]
    guests = kit(Guests(memory_mb=384, nic_off=(word,)))
    with qemu.standing(Topology("bridge"), guests, leases_folder=leases(tmp_path)) as lab:
        bits = lab.a.host.run(Command(("cat", "/sys/class/net/eth0/device/features"))).stdout
        with kept(tmp_path / "journal.jsonl") as journal:
            found = concluded(observe(lab, Wanted(features=tuple(OFFERED), bulk_bytes=1_000_000), journal), {})
    rows = {row.feature: row for row in found.features}
    told = {name: rows[name].verdict for name in OFFERED}

    assert bits[bit] == "0"
    assert told == OFFERED | otherwise, {name: rows[name].evidence for name in OFFERED}
    assert rows["payload"].verdict == "works", rows["payload"].evidence
    assert {each.level: each.outcome for each in found.levels}["restored"] == "ok"


def test_a_pair_of_guests_is_validated_whole_from_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Levels 1 to 5 and 7 of one feature, on the path and by the run that its benefit takes; nothing is left."""
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    sets = ("lab={provider: qemu, memory_mb: 384}", "topologies=[bridge]", "blocks=2",
            "probes=[{kind: tcp, duration_s: 0.5, warmup_s: 0.2}]")  # fmt: skip
    done = nettune("offload", "validate", *(word for each in sets for word in ("--set", each)), "--features", TSO,
                   "--require", TSO, "--payload-mb", "1", "--seed", "1", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = {(row["feature"], row["direction"]): row for row in found["features"]}
    (run,) = json.loads(nettune("runs", "--json").stdout)

    assert found["nic"]["identity"]["driver"] == "virtio_net"
    assert {each["level"]: each["outcome"] for each in found["levels"]} == {
        "inventory": "ok", "negotiation": "ok", "function": "ok", "engaged": "ok", "benefit": "ok",
        "stability": "not asked", "restored": "ok",
    }  # fmt: skip
    assert (rows["payload", "tx"]["verdict"], rows["payload", "rx"]["verdict"]) == ("works", "works")
    assert rows[TSO, "tx"]["verdict"].startswith("works")
    assert "tcp.goodput with it off: " in rows[TSO, "tx"]["evidence"]["benefit"]
    assert found["run_id"] == run["run_id"]
    assert not list((tmp_path / "state" / "journals").glob("*"))
    assert not list((tmp_path / "state" / "leases").glob("*.jsonl"))


@pytest.mark.sampled(1)
def test_a_guest_that_forwards_keeps_lro_off_and_its_kernel_s_words_fail_a_soak(tmp_path: Path) -> None:
    """LRO is not switched on; a newer kernel's feature is told as not present; a driver's hang by its line."""
    passes = "ss -Htn state established '( dport >= :20000 and dport < :32000 )' | grep -q ."
    hang = "printf '<3>vmxnet3 eth0: Detected Hardware Unit Hang\\n' >/dev/kmsg"
    newer = "tx-tcp-accecn-segmentation"
    guests = kit(Guests(memory_mb=384, nic="vmxnet3"))
    with qemu.standing(Topology("bridge"), guests, leases_folder=leases(tmp_path)) as lab:
        was = lab.read()["a"].facts["feature/eth0/rx-lro"]
        lab.a.host.run(Command(("sysctl", "-qw", "net.ipv4.conf.eth0.forwarding=1"))).require()
        before = lab.read()
        with kept(tmp_path / "journal.jsonl") as journal:
            asked = Wanted(levels=frozenset({"negotiation", "restored"}), features=("rx-lro", newer))
            found = concluded(observe(lab, asked, journal), {})
            left = differences(before, lab.read())
            with lab.a.host.start(
                Command(("sh", "-c", f"until {passes}; do sleep 0.1; done; {hang}"), deadline_s=60)
            ) as job:
                soak = Wanted(levels=frozenset({"stability"}), soak_s=6, bulk_bytes=500_000)
                soaked = concluded(observe(lab, soak, journal), {})
                job.wait().require()
    rows = {row.feature: row for row in found.features}
    (level,) = [each for each in soaked.levels if each.level == "stability"]

    assert (was, before["a"].facts["feature/eth0/rx-lro"]) == ("on", "off")
    assert (rows["rx-lro"].verdict, left) == ("can't be judged here", ())
    assert "keeps it off while the device forwards" in rows["rx-lro"].evidence["function"]
    assert [each.arm for each in found.toggles if "rx-lro" in each.arm] == []
    assert failed(found, (newer,)) == (f"{newer} is required: not present",)
    assert (level.outcome, [each for each in soaked.notes if "not looked at" in each]) == ("failed", [])
    assert [each for each in level.evidence if "kernel log: " in each and "Detected Hardware Unit Hang" in each]


def test_payload_passes_through_all_that_can_stand_on_a_nic(tmp_path: Path) -> None:
    """As sent, in both families within, and its packets are known again in their headers; nothing is left."""
    with qemu.standing(Topology("bridge"), kit(SMALL), leases_folder=leases(tmp_path)) as lab:
        _load(lab)
        before = lab.read()
        a, b = (End(end.host, end.device, _addresses(before, end), "") for end in (lab.a, lab.b))
        for over in OVERS.values():
            listed = cases.through(over.name, 1_000_000, over.within)
            results = exchange.run_through(over, a, b, listed, 1500, 1, load=True)
            words = {f"{each.case.flow} {each.case.name}": cases.judged(each) for each in results}
            seen = [each.sender["watched"]["packets"] for each in results if each.case.watch]

            assert {name: word for name, word in words.items() if word[0] != "ok"} == {}
            assert (len(seen), min(seen) > 10) == (2 * len(over.within), True), over.name
        assert differences(before, lab.read()) == ()


def _addresses(sheets: Sheets, end: Endpoint) -> dict[int, str]:
    return {family: address for address, family in addresses(sheets, end.host.name, end.device)}
