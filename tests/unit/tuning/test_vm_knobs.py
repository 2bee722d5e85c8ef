"""Settings that start guests anew: what they take, refuse, explain, and how a treatment has them around its others."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.facts.sheet import Difference, FactSheet, Sheets, differences
from bench.labs.guests import Guests, facts
from bench.labs.lab import Target
from bench.plan import SettingSpec
from bench.pve import vnic
from tests.unit.tuning import kernel
from tests.unit.tuning.kernel import with_guests
from tuning.journal import kept, outstanding
from tuning.knobs.knob import Change, NotSettable
from tuning.knobs.table import KNOBS, check, owner
from tuning.knobs.vm import wanted_of
from tuning.treatments import treatments

GUESTS = facts(Guests(), 1500) | {"link/eth0/mtu": "1500"}
PVE = {f"vm/{word}": value for word, value in vnic.facts(vnic.parse("virtio,bridge=vmbr0,mtu=1500")).items()}
OTHER = facts(Guests(nic="vmxnet3"), 1500) | {"link/eth0/mtu": "1500"}


def _sheets(of_guests: Mapping[str, str]) -> Sheets:
    return {host.name: FactSheet(host.name, of_guests if host.name in "ab" else {}) for host in kernel.lab().hosts}


@pytest.mark.parametrize(("setting", "value"), [("vm-queues", "4"), ("vm-rx-queue-size", "1024"),
                                                ("vm-host-mtu", "4000")])  # fmt: skip
def test_every_guest_is_started_with_it(setting: str, value: str) -> None:
    """One fact a guest, of one knob; no Command on the guest sets it."""
    changes = KNOBS[setting].changes(setting, value, kernel.lab(), "guest", _sheets(GUESTS))

    assert changes == tuple(Change(name, f"vm/{setting}", value) for name in "ab")
    assert owner(f"vm/{setting}") is KNOBS[setting]
    assert KNOBS[setting].writes(changes) == ()
    assert value in KNOBS[setting].command(setting, value)


@pytest.mark.parametrize(
    ("setting", "value", "target", "of_guests", "problem"),
    [
        ("vm-queues", "2", "guest", {}, "no guest that nettune starts, whose vm-queues could be chosen"),
        ("vm-queues", "2", "node", GUESTS, "on the target 'node' is no guest that nettune starts"),
        ("vm-queues", "2", "guest", OTHER, "the NIC of a is a vmxnet3, of which QEMU takes no vm-queues"),
        ("vm-rate", "5", "guest", GUESTS, r"whose vm-rate could be chosen\. lab: {provider: proxmox}"),
        (
            "vm-queues",
            "2",
            "guest",
            PVE | {"vm/vm-model": "e1000"},
            "the NIC of a is a e1000, which takes no vm-queues",
        ),
        ("vm-host-mtu", "1400", "guest", GUESTS, "a/eth0 has an MTU of 1500, vm-host-mtu 1400 is less"),
    ],
)
def test_what_is_no_virtio_guest_of_ours_is_refused_by_name(
    setting: str, value: str, target: Target, of_guests: Mapping[str, str], problem: str
) -> None:
    """Namespaces and standing machines have no such facts; a host_mtu below the path's own MTU would break the path."""
    with pytest.raises(NotSettable, match=f"not settable here: .*{problem}"):
        KNOBS[setting].changes(setting, value, kernel.lab(), target, _sheets(of_guests))


BAD = {
    "vm-rate": ["-1", "1.5", "20000", ""],
    "vm-queues": ["0", "17", "-1", "1.5", "many", "", "٤"],
    "vm-rx-queue-size": ["0", "128", "300", "2048", "big"],
    "vm-host-mtu": ["575", "65536", "9k", ""],
}


@pytest.mark.parametrize(("setting", "value"), [(setting, value) for setting, each in BAD.items() for value in each])
def test_what_qemu_does_not_take_is_refused_before_any_host_is_asked(setting: str, value: str) -> None:
    """With the range."""
    problem, _ = check(setting, value)

    assert problem.startswith(f"{setting} {value!r} is no ")
    assert " from " in problem


@pytest.mark.parametrize(
    ("setting", "value", "wanted"),
    [("vm-model", "e1000", "e1000"), ("vm-rate", "100", "100"), ("vm-firewall", "on", "1"), ("vm-firewall", "0", "0")],
)
def test_what_proxmox_takes_while_a_guest_runs_has_no_command_on_it(setting: str, value: str, wanted: str) -> None:
    """As netN has it; what is not there means something too, and what is so already is seen."""
    knob = KNOBS[setting]
    changes = knob.changes(setting, value, kernel.lab(), "guest", _sheets(PVE))

    assert changes == tuple(Change(name, f"vm/{setting}", wanted) for name in "ab")
    assert wanted_of(changes) == {name: {f"vm/{setting}": wanted} for name in "ab"}
    assert knob.holds("0", vnic.UNSET) == (setting != "vm-model")
    assert KNOBS["vm-queues"].holds("1", vnic.UNSET)
    assert not knob.holds(wanted, None)


@pytest.mark.parametrize(("setting", "value"), [("vm-model", "floppy"), ("vm-firewall", "maybe"), ("vm-firewall", "")])
def test_a_word_that_is_none_is_refused_with_those_that_are(setting: str, value: str) -> None:
    """Before any host is asked."""
    assert check(setting, value)[0].startswith(f"{setting} {value!r} is none of ")


@given(st.sampled_from([*BAD]), st.text(max_size=8))
def test_whatever_a_plan_says_is_taken_or_refused(setting: str, value: str) -> None:
    """What is taken is a number of decimal digits."""
    assert check(setting, value)[0] or (value.isascii() and value.isdecimal())


def test_what_a_new_start_makes_others_of_is_explained_and_nothing_else() -> None:
    """Queues of the guest's NIC and of its tap; the ring and its most; of host_mtu nothing but itself is seen."""
    explained = {
        ("vm-queues", "channel/eth0/combined-most"): True, ("vm-queues", "queue/port-a/rx-1/rps_cpus"): True,
        ("vm-queues", "qdisc/eth0/parent :2"): True, ("vm-queues", "link/eth0/num_tx_queues"): True,
        ("vm-queues", "link/eth0/qdisc"): True, ("vm-queues", "link/eth0/mtu"): False,
        ("vm-queues", "feature/eth0/rx-gro"): False, ("vm-queues", "sysctl/net.ipv4.tcp_mem"): False,
        ("vm-queues", "vm/vm-host-mtu"): False, ("vm-rx-queue-size", "ring/eth0/rx"): True,
        ("vm-rx-queue-size", "ring/eth0/rx-most"): True, ("vm-rx-queue-size", "ring/eth0/tx"): False,
        ("vm-host-mtu", "vm/vm-host-mtu"): True, ("vm-host-mtu", "link/eth0/mtu"): True,
        ("vm-model", "ring/eth0/rx"): True, ("vm-host-mtu", "ring/eth0/rx"): False,
        ("vm-model", "address/eth0/192.0.2.1/24"): False, ("vm-rate", "qdisc/tap1i0/root"): True,
        ("vm-rate", "link/tap1i0/mtu"): False, ("vm-firewall", "link/tap1i0/master"): True,
        ("vm-firewall", "link/tap1i0/mtu"): False, ("vm-host-mtu", ""): False,
    }  # fmt: skip

    assert {(setting, key): KNOBS[setting].explains(setting, Difference("a", key, "1", "2"))
            for setting, key in explained} == explained  # fmt: skip


PLAN = {"many": (SettingSpec("vm-queues", "4", None),),
        "many-no-tso": (SettingSpec("tso", "off", "guest"), SettingSpec("vm-queues", "4", None)),
        "usual-mtu": (SettingSpec("vm-host-mtu", "9000", None), SettingSpec("mtu", "9000", None))}  # fmt: skip


def test_a_treatment_has_its_new_start_around_the_rest(tmp_path: Path) -> None:
    """Two with the same share one start; each explains both parts; undo is a start with the originals."""
    stand, guests = with_guests()
    baseline = stand.read()
    with kept(tmp_path / "journal") as journal:
        many, both, _ = treatments(PLAN, journal)
        outer, again = many.outer(stand, baseline), both.outer(stand, baseline)
        assert outer is not None
        assert again is not None
        with outer.holds(stand, baseline) as held:
            begun = len(outstanding(tmp_path / "journal"))
            refusals = [each.refusal(stand, baseline, held.within) for each in (many, both)]
            with both.holds(stand, held.within) as inner:
                changed = {each.key for each in differences(baseline, inner.within)}
                odd = [each for each in differences(baseline, inner.within) if not both.explains(each)]
            between = stand.read()
        after = stand.read()

    assert (outer.name, again.name) == ("vm-queues=4", "vm-queues=4")
    assert (begun, refusals, odd) == (1, ["", ""], [])
    assert {"vm/vm-queues", "feature/eth0/tx-tcp-segmentation"} <= changed
    assert differences(between, held.within) == ()
    assert differences(baseline, after) == ()
    assert [each.begun for each in guests] == [[4, 1], [4, 1]]
    assert [row["setting"] for row in both.described(stand, baseline)] == ["vm-queues", "tso"]
    assert [row["was"] for row in both.described(stand, baseline)] == ["1", "on"]


def test_guests_that_are_so_already_are_not_started_for_it(tmp_path: Path) -> None:
    """The rest of the treatment is held among the plain arms."""
    stand, guests = with_guests()
    baseline = stand.read()
    with kept(tmp_path / "journal") as journal:
        *_, usual = treatments(PLAN, journal)
        around, refusal = usual.outer(stand, baseline), usual.refusal(stand, baseline)
        with usual.holds(stand, baseline) as held:
            mtu = held.within["a"].facts["link/eth0/mtu"]

    assert (around, refusal, mtu) == (None, "", "9000")
    assert [each.begun for each in guests] == [[], []]


def test_only_a_topology_of_a_lab_with_guests_takes_them(tmp_path: Path) -> None:
    """In namespaces the outer part says why, and nothing is begun."""
    stand = kernel.lab()
    with kept(tmp_path / "journal") as journal:
        outer = treatments(PLAN, journal)[0].outer(stand, stand.read())
        assert outer is not None
        assert "lab: {provider: qemu}" in outer.refusal(stand, stand.read())
