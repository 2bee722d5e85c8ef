"""What NICs say of themselves, the order in which their features are toggled, and what is known of their drivers."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.hosts.command import Command, Outcome
from results.errors import WrongInput
from tests.unit.tuning.offload_made import nic
from tuning.knobs.feature import CUTS_TRAFFIC, KERNEL, members
from tuning.offload import arms, features, inventory, judging, known_bad
from tuning.offload.arms import Arm
from tuning.offload.evidence import Verdict
from tuning.offload.inventory import Nic

_FILE: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "transcripts" / "offload" / "documented.yaml").read_text(encoding="utf-8")
)
DOCUMENTED: dict[str, Any] = _FILE["drivers"]
PCI = """\
carrier 1
carrier_changes 2
device/vendor 0x8086
device/device 0x1563
device/current_link_speed 8.0 GT/s PCIe
device/current_link_width 2
device/max_link_speed 8.0 GT/s PCIe
device/max_link_width 4
"""
RSS = """\
RX flow hash indirection table for eth0 with 4 RX ring(s):
    0:      0     1     2     3     0     1     2     3
    8:      0     1     2     3     0     1     2     3
RSS hash key:
6d:5a:56:da:25:5b
RSS hash function:
    toeplitz: on
    xor: off
"""


def _read(told: dict[str, Any], kernel: str = "6.8.12-4-pve") -> Nic:
    """A NIC from the text of its driver and the state of its features."""
    of_kernel = _FILE["kernel"]
    bits = dict.fromkeys(KERNEL, (False, True)) | dict.fromkeys(told["fixed_on"], (True, True))
    bits |= dict.fromkeys([*told["is_on"], *of_kernel["is_on"]], (True, False))
    bits |= dict.fromkeys([*told["is_off"], *of_kernel["is_off"]], (False, False))
    rows = [{"ifname": "eth0", **{name: {"active": on, "fixed": fixed, "requested": on}
                                  for name, (on, fixed) in bits.items()}}]  # fmt: skip
    texts = [told["info"], "", "", told.get("rings", ""), RSS, "", PCI, kernel, json.dumps(rows)]
    asked = inventory.questions("eth0")
    return inventory.parse("a", "eth0", [Outcome(command, "a", 0, text, "", 0.0)
                                         for command, text in zip(asked, texts, strict=True)])  # fmt: skip


@pytest.mark.parametrize("name", DOCUMENTED)
def test_shapes_of_hardware_nics_are_read_and_put_in_order(name: str) -> None:
    """Harmless toggles first; what cuts off all traffic, and what is fixed, never."""
    told, of_kernel = DOCUMENTED[name], _FILE["kernel"]
    found = _read(told)
    order = arms.toggled(found)
    free = [*told["is_on"], *told["is_off"], *of_kernel["is_on"], *of_kernel["is_off"]]

    assert (found.driver, found.pci_id) == (name.partition(" ")[0], "8086:1563")
    assert found.identity["firmware"]
    assert set(order) == set(free) - CUTS_TRAFFIC
    assert order[0] == "rx-gro"
    risky = [each for each in order if each in {"rx-checksum", "rx-gro-hw", "rx-lro"}]
    assert tuple(risky) == order[len(order) - len(risky) :]
    assert {each.feature for each in arms.arms(found, found) if each.feature} == set(order)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_each_shape_has_its_source_and_no_feature_twice(name: str) -> None:
    """File, function and commit; each feature is one that a kernel knows."""
    told = DOCUMENTED[name]
    listed = [*told["is_on"], *told["is_off"], *told["fixed_on"], *_FILE["kernel"]["is_on"], *_FILE["kernel"]["is_off"]]

    assert re.fullmatch(r"drivers/net/ethernet/\S+\.c, \w+, [0-9a-f]{12}", told["source"])
    assert sorted(listed) == sorted(set(listed) & set(KERNEL))


_WHAT: dict[str, tuple[str, str, Verdict]] = {
    "i40e's VLAN filter is on for good": ("i40e", "rx-vlan-filter", "can't be judged here"),
    "an I219 has no segmentation": ("e1000e of an I219", "tx-tcp-segmentation", "not present"),
    "igc cuts up no datagrams": ("igc", "tx-udp-segmentation", "not present"),
    "in safe mode nothing is summed": ("ice in safe mode", "rx-checksum", "not present"),
}


@pytest.mark.parametrize(("name", "feature", "verdict"), _WHAT.values(), ids=_WHAT)
def test_what_a_driver_fixes_is_told_without_a_toggle(name: str, feature: str, verdict: Verdict) -> None:
    """On or off for good."""
    row = judging.verdict(feature, _read(DOCUMENTED[name]), [], "a", frozenset({"negotiation"}), {}, None)

    assert (row.verdict, "for good" in row.evidence["negotiation"]) == (verdict, True)


def test_a_ring_that_a_driver_has_not_got_is_left_out() -> None:
    """`n/a` is no number."""
    found = _read(DOCUMENTED["r8169"]).identity

    assert {name: value for name, value in found.items() if name.startswith("ring ")} == {
        "ring rx-most": "255", "ring tx-most": "255"}  # fmt: skip


def test_a_link_to_the_machine_that_is_too_narrow_is_told() -> None:
    """Two lanes of four: what is there, and what could be."""
    found = _read(DOCUMENTED["ixgbe"]).identity

    assert found["PCIe"] == "8.0 GT/s PCIe x2, 16 Gbit/s each way"
    assert found["PCIe at most"] == "8.0 GT/s PCIe x4"
    assert (found["RSS"], found["RSS hash"]) == ("16 entries over 4 queues", "toeplitz")


def test_what_a_device_does_not_tell_is_left_out() -> None:
    """No PCI, no RSS, unknown speed."""
    assert inventory.parse_files("") == {}
    assert inventory.parse_rss("netlink error: Operation not supported") == {}
    assert inventory.parse_link("\tSpeed: Unknown!\n\tDuplex: Full\n") == {"duplex": "Full"}
    assert inventory.parse_driver("driver: veth\nversion: 1.0\nfirmware-version: \n") == {
        "driver": "veth", "driver version": "1.0"}  # fmt: skip


# `ip -d link` of iproute2 6.1 (print_linkinfo, xdp_dump): the flag on the first line, the program on one of its own.
_XDP = """\
2: eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 {flag}qdisc noqueue state UP mode DEFAULT group default qlen 1000
    link/ether 02:00:00:00:00:01 brd ff:ff:ff:ff:ff:ff promiscuity 0 minmtu 68 maxmtu 65535
{line}"""
XDP = {
    "a driver's": ("xdp ", "    prog/xdp id 25 name drop tag 57cd311f2e27366b jited\n", "program 25"),
    "the kernel's": ("xdpgeneric ", "    prog/xdp id 7\n", "program 7"),
    "several": ("xdpmulti ", "    prog/xdpdrv id 9\n    prog/xdpoffload id 11\n", "program 9"),
    "one that is not told": ("xdpoffload ", "", "a program"),
    "none": ("", "", None),
}


@pytest.mark.parametrize(("flag", "line", "told"), XDP.values(), ids=XDP)
def test_the_program_of_xdp_is_told_by_its_number(flag: str, line: str, told: str | None) -> None:
    """As `bpftool prog` knows it."""
    texts = ["driver: ixgbe\n", "", "", "", "", _XDP.format(flag=flag, line=line), "", "6.8", '[{"ifname": "eth0"}]']
    answers = [Outcome(command, "a", 0, text, "", 0.0)
               for command, text in zip(inventory.questions("eth0"), texts, strict=True)]  # fmt: skip

    assert inventory.parse("a", "eth0", answers).identity.get("XDP") == told


def test_a_ground_of_plain_packets_only_where_a_feature_is_seen_on_it() -> None:
    """What is received is judged where the other end sums and cuts up by itself; nothing else pays for that."""
    both = {(each.ground, each.name) for each in arms.arms(nic(), nic("b"))}
    sent = arms.arms(nic(), nic("b"), ("tx-tcp-segmentation",))

    assert ("unmerged", "rx-checksum off") in both
    assert ("plain", "rx-gro on") in both
    assert [each.name for each in sent] == ["as found", "tx-tcp-segmentation off"]


def test_an_other_end_that_sends_plain_packets_already_is_left_alone() -> None:
    """And so is one whose driver fixes what it does."""
    names = ("tx_tcp_segmentation", "tx_tcp6_segmentation", "tx_checksum_ip_generic", "tx_udp_segmentation")
    off, fixed = (nic("b", **dict.fromkeys(names, value)) for value in ("off", "on [fixed]"))

    assert arms.grounds(nic(), nic("b")).other["plain"] == ("tso", "tx-udp-segmentation")
    assert (arms.grounds(nic(), off).other["plain"], arms.grounds(nic(), fixed).other["plain"]) == ((), ())
    assert {each.ground for each in arms.arms(nic(), fixed)} == {"found"}


def test_what_the_kernel_merges_is_not_taken_for_the_device_s_work() -> None:
    """Where both merge, each is looked at while the other does not."""
    both = nic(rx_gro="on", rx_gro_hw="on", rx_lro="off")
    listed = {each.feature: each for each in arms.arms(both, nic("b"))}
    there = arms.grounds(both, nic("b"))
    set_for = {
        name: [(each.setting, each.target) for each in listed[name].settings(there) if each.target == arms.NIC]
        for name in ("rx-gro", "rx-gro-hw", "rx-checksum")
    }

    assert set_for == {
        "rx-gro": [("rx-gro-hw", "guest"), ("rx-gro", "guest")],
        "rx-gro-hw": [("rx-gro", "guest"), ("rx-gro-hw", "guest")],
        "rx-checksum": [("rx-gro", "guest"), ("rx-checksum", "guest")],
    }


@pytest.mark.parametrize("name", DOCUMENTED)
def test_nothing_dangerous_is_set_before_anything_harmless(name: str) -> None:
    """Neither by a toggle nor for its ground, at either end; and no toggle comes before its ground."""
    found = _read(DOCUMENTED[name])
    there, listed = arms.grounds(found, found), arms.arms(found, found)
    set_for = [
        {each for spec in arm.settings(there) for each in members(spec.setting) or (spec.setting,)}
        for arm in listed
        if arm.feature
    ]
    worst = [max(features.rank(each)[0] for each in words) for words in set_for]

    assert listed[0] == Arm("found")
    assert worst == sorted(worst)
    assert all(Arm(arm.ground) in listed[:at] for at, arm in enumerate(listed) if arm.feature)
    assert len(listed) == len(set(listed))


def test_what_starts_an_adapter_anew_comes_after_segmentation() -> None:
    """Filters, forwarding in layer 2 and tc's offload, of ixgbe and i40e."""
    order = features.ORDER
    later = ("rx-ntuple-filter", "l2-fwd-offload", "hw-tc-offload")

    assert [order.index(each) > order.index("tx-tcp-segmentation") for each in later] == [True] * 3


HINTS = {
    "e1000e with TSO on": ("e1000e", "6.8.12-4-pve", 1),
    "igc": ("igc", "6.8.12", 1),
    "ixgbe with LRO off": ("ixgbe", "6.8.12", 0),
    "nothing known": ("mlx5_core", "6.8.12", 0),
}


@pytest.mark.parametrize(("driver", "kernel", "count"), HINTS.values(), ids=HINTS)
def test_what_is_known_of_a_driver_is_a_hint_with_its_source(driver: str, kernel: str, count: int) -> None:
    """By driver, and by a feature that is on."""
    found = known_bad.hints(_read(DOCUMENTED[driver], kernel))

    assert len(found) == count
    assert all("https://" in each for each in found)


@pytest.mark.parametrize(
    ("kernel", "count"),
    [("6.6.45", 1), ("6.6.46", 0), ("6.17.0-41-generic", 1), ("6.18.1", 0), ("7.1.4", 1), ("7.1.5", 0)],
)
def test_a_row_holds_for_its_kernels_alone(kernel: str, count: int) -> None:
    """From the first on which it was seen to the first that is well."""
    made = Nic("a", "eth0", {"driver": "virtio_net", "kernel": kernel}, {"tx-udp-segmentation": "on"})

    assert len(known_bad.hints(made)) == count


WRONG = {
    "no source": ("- {driver: x, what: y, hint: z, grade: report}", "a row has no 'source'"),
    "no feature": (
        "- {driver: x, what: y, hint: z, source: s, grade: report, features: [tsso]}",
        "'tsso' is no feature",
    ),
    "no release": ("- {driver: x, what: y, hint: z, source: s, grade: report, since: new}", "is no kernel release"),
    "another key": ("- {driver: x, wat: y}", "wat"),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_a_table_that_cannot_be_read_names_the_line(text: str, said: str) -> None:
    """It is data: a slip in it is told as one in a plan."""
    with pytest.raises(WrongInput, match=said):
        known_bad.read(text, "table.yaml")


def test_questions_are_asked_of_any_device() -> None:
    """Plain commands, the device as a parameter."""
    assert all("eth9" in each.argv or each == Command(("uname", "-r")) for each in inventory.questions("eth9"))
