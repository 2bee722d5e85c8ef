"""`nettune apply` to virtual NICs of VMs that stand on a node: netN changed in a word, and back to the byte."""

import json
from pathlib import Path

import pytest

from tests.netns.pve_node import VM, sh, vm
from tests.netns.standing_hosts import RMEM, Machines, value
from tests.netns.test_apply import HELD, A, desk, profile
from tests.netns.test_pve_node import KEPT, cut_short, node

__all__ = ["node"]  # a fixture
WORDS = ("--vm", "101", "--disruption", "d5")
STEPS = range(1, 28)  # from the arming on, of 25; what comes before it changes nothing


def test_netn_is_changed_in_its_own_words_and_taken_back_to_the_byte(node: Machines, tmp_path: Path) -> None:
    """Queues of the virtio NIC alone, a rate of both; MAC, trunks and firewall stay; a second time nothing."""
    mine = profile(tmp_path, **{"vm-queues": "4", "vm-rate": "100"})
    refused = desk(node, "apply", mine, "--host", A, *WORDS)
    costly = desk(node, "apply", mine, "--host", A, "--vm", "101", *KEPT)
    untouched = vm(node)
    done = desk(node, "apply", mine, "--host", A, *WORDS, *KEPT)
    held = vm(node)
    stands = desk(node, "verify", A)
    again = desk(node, "apply", mine, "--host", A, *WORDS, *KEPT, "--json")
    back = desk(node, "rollback", A)

    assert (refused.returncode, costly.returncode) == (3, 3)
    assert "the VM's configuration keeps it over every boot: --persist" in refused.stderr
    assert "its disruption is d5: --disruption d5 allows it" in costly.stderr
    assert untouched == VM
    assert done.returncode == 0, done.stderr
    assert held == VM.replace("20-30", "20-30,queues=4,rate=100").replace("link_down=1", "link_down=1,rate=100")
    assert stands.returncode == 0, stands.stdout
    assert json.loads(again.stdout)[0]["state"] == "nothing to do"
    assert back.returncode == 0, back.stderr
    assert vm(node) == VM


def test_what_its_owner_changed_since_stays_and_the_same_word_is_not_overwritten(
    node: Machines, tmp_path: Path
) -> None:
    """Another tag is theirs and stays; another rate stops the rollback, which says so."""
    conf = "/etc/pve/nodes/pve1/qemu-server/101.conf"
    mine = profile(tmp_path, **{"vm-rate": "100"})
    desk(node, "apply", mine, "--host", A, *WORDS, *KEPT)
    sh(node, f"sed -i 's/vmbr0/vmbr7/' {conf}")
    first = desk(node, "rollback", A)
    between = vm(node)
    desk(node, "apply", mine, "--host", A, *WORDS, *KEPT)
    sh(node, f"sed -i 's/rate=100/rate=50/' {conf}")
    drift = desk(node, "verify", A)
    second = desk(node, "rollback", A)
    forced = desk(node, "rollback", A, "--anyway")

    assert first.returncode == 0, first.stderr
    assert between == VM.replace("vmbr0", "vmbr7")
    assert drift.returncode == 1
    assert "vnic/101/net0/rate" in drift.stdout
    assert second.returncode == 3
    assert "somebody else changed this since" in second.stderr
    assert forced.returncode == 0, forced.stderr
    assert vm(node) == between


@pytest.mark.parametrize(
    ("words", "settings", "code", "said"),
    [
        (("--vm", "102"), {"vm-rate": "100"}, 3, "there is no VM 102 with a virtual NIC"),
        (("--vm", "99"), {"vm-rate": "100"}, 2, "--vm"),
        (("--vm", "101"), {"vm-queues": "40"}, 2, "no whole number from 1 to 16"),
        (("--vm", "101"), {"vm-model": "floppy"}, 2, "is none of virtio, e1000"),
        ((), {"vm-rate": "100"}, 0, "left out: vm-rate"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_set(
    node: Machines, tmp_path: Path, words: tuple[str, ...], settings: dict[str, str], code: int, said: str
) -> None:
    """A VM of another node, ids and values that are none; without --vm no VM is touched."""
    done = desk(node, "apply", profile(tmp_path, **settings), "--host", A, "--disruption", "d5", *words, *KEPT)

    assert done.returncode == code, done.stderr
    assert said in " ".join((done.stdout + done.stderr).split())
    assert vm(node) == VM


def test_a_nic_that_waits_for_a_start_is_told_and_taken_back(node: Machines, tmp_path: Path) -> None:
    """No network in the VM's `hotplug`: what is to be is set and read back, what is stays until then."""
    sh(node, ": >/run/nettune/cold")
    done = desk(node, "apply", profile(tmp_path, **{"vm-queues": "4"}), "--host", A, *WORDS, *KEPT)
    both = vm(node)
    back = desk(node, "rollback", A)

    assert done.returncode == 0, done.stderr
    assert "VM 101 takes its net0 with its next start, not now" in " ".join(done.stdout.split())
    assert both == VM + VM.replace("20-30", "20-30,queues=4")
    assert back.returncode == 0, back.stderr
    assert vm(node) == VM


def test_a_vm_that_is_locked_leaves_all_as_it_was(node: Machines, tmp_path: Path) -> None:
    """A backup runs: qm refuses, what came before it is put back."""
    was = value(node.a, RMEM)
    sh(node, ": >/run/nettune/locked")
    done = desk(node, "apply", profile(tmp_path, **{RMEM: HELD, "vm-rate": "100"}), "--host", A, *WORDS, *KEPT)

    assert done.returncode == 3
    assert "vnic/101/net0/rate was set to '100' and reads 'unset'" in done.stderr
    assert (vm(node), value(node.a, RMEM)) == (VM, was)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("how", ["kill", "cut"])
@pytest.mark.parametrize("step", STEPS)
def test_a_vm_is_as_it_was_wherever_it_is_cut_short(node: Machines, tmp_path: Path, step: int, how: str) -> None:
    """Killed, or its way lost, before each command: by the host alone, or by a rollback of what was confirmed."""
    cut_short(node, step, how, profile(tmp_path, **{"vm-queues": "4", "vm-firewall": "off"}), *WORDS)

    assert vm(node) == VM
