"""Words for the steering of queues: what each comes to by a host's CPUs, queues and interrupts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.labs.lab import Target
from tests.unit.bench.fakes import FakeHost
from tests.unit.tuning.kernel import KernelLab, lab
from tuning.exports.lines import line
from tuning.knobs.catalogue import catalogue
from tuning.knobs.device_files import DEVICE_FILES
from tuning.knobs.knob import NotSettable
from tuning.knobs.steering import ONLINE, dealt, mask, serving, values
from tuning.profile import ProfileSetting
from tuning.search.space import space

FILES = {knob.kind: knob for knob in DEVICE_FILES}
VIRTIO = {
    "irq/eth0/virtio1-input.0": "0-3", "irq/eth0/virtio1-input.0/on": "1", "irq/eth0/virtio1-output.0": "0-3",
    "irq/eth0/virtio1-output.0/on": "2", "irq/eth0/virtio1-input.1": "0-3", "irq/eth0/virtio1-input.1/on": "3",
    "irq/eth0/near": "0-3",
}  # fmt: skip


def _host(online: str = "0-3") -> FakeHost:
    return FakeHost("pve1", answer=lambda command: (0, online + "\n") if command == ONLINE else None)


def _keys(number: int, file: str = "rps_cpus", way: str = "rx") -> list[str]:
    return [f"queue/eth0/{way}-{each}/{file}" for each in range(number)]


@pytest.mark.parametrize(
    ("word", "keys", "facts", "wanted"),
    [
        ("all", _keys(2), {}, ["f", "f"]),
        ("others", _keys(2), VIRTIO, ["d", "7"]),
        ("others", _keys(1), {"irq/eth0/eno1/on": "2"}, ["b"]),
        ("spread", _keys(2, "xps_cpus", "tx"), {}, ["3", "c"]),
        ("spread", _keys(8, "xps_cpus", "tx"), {}, ["1", "2", "4", "8"] * 2),
        ("shared", _keys(4, "rps_flow_cnt"), {}, ["8192"] * 4),
        ("shared", _keys(4, "rps_flow_cnt"), {"sysctl/net.core.rps_sock_flow_entries": "4096"}, ["1024"] * 4),
    ],
)
def test_a_word_is_what_the_kernels_guide_makes_of_the_host(
    word: str, keys: list[str], facts: dict[str, str], wanted: list[str]
) -> None:
    """RPS to all CPUs or all but the interrupt's own, XPS one queue a CPU, RFS the entries dealt to the queues."""
    assert values(word, keys, facts, _host()) == wanted


@pytest.mark.parametrize(
    ("online", "facts", "words"),
    [
        ("0", VIRTIO, "pve1 has one CPU"),
        ("", VIRTIO, "pve1 has one CPU"),
        ("0-3", {}, "no fact tells which CPU serves queue 0 of pve1/eth0"),
        ("0-1", {"irq/eth0/eth0/on": "0-1"}, "every CPU of pve1 serves queue 0"),
    ],
)
def test_what_a_host_cannot_have_is_said(online: str, facts: dict[str, str], words: str) -> None:
    """Nobody to steer to, or an interrupt that nobody knows: no mask is guessed."""
    with pytest.raises(NotSettable, match=words):
        values("others", _keys(1), facts, _host(online))


def test_a_transmit_interrupt_is_not_the_receive_queues() -> None:
    """By the names that drivers give: virtio's and one of an adapter with both in one."""
    both = {"irq/eth0/i40e-eth0-TxRx-0/on": "5", "irq/eth0/eth0-tx-0/on": "6"}

    assert serving("eth0", 0, VIRTIO, alone=False) == {1}
    assert serving("eth0", 0, both, alone=False) == {5}


@given(st.sets(st.integers(0, 300), min_size=1, max_size=80), st.integers(1, 80))
def test_every_cpu_sends_by_one_queue_and_every_queue_has_one(cpus: set[int], queues: int) -> None:
    """With as many CPUs as queues or more; with fewer each queue has exactly one."""
    found = dealt(sorted(cpus), range(queues))

    assert all(found)
    if queues <= len(cpus):
        assert sorted(cpu for each in found for cpu in each) == sorted(cpus)
    else:
        assert {len(each) for each in found} == {1}


@given(st.sets(st.integers(0, 1000), min_size=1))
def test_a_mask_is_in_groups_of_32_bits_and_means_the_same_cpus(cpus: set[int]) -> None:
    """As bitmap_parse takes it, and the knob's own pattern."""
    made = mask(sorted(cpus))
    number = int(made.replace(",", ""), 16)

    assert {at for at in range(1001) if number >> at & 1} == cpus
    assert all(len(group) == 8 for group in made.split(",")[1:])
    assert FILES["rps_cpus"].problem("rps_cpus", made) == ""


def _steered() -> KernelLab:
    stand = lab("direct")
    for kernel in stand.kernels:
        kernel.facts |= {"queue/eth0/rx-0/rps_cpus": "0", **VIRTIO}
    return stand


def test_a_search_under_interrupts_tries_what_the_guide_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each host's own mask is written; off, which it is already, is no candidate."""
    stand = _steered()
    for kernel in stand.kernels:
        other = kernel.run
        monkeypatch.setattr(
            kernel, "run", lambda command, other=other: _host().run(command) if command == ONLINE else other(command)
        )
    bound: dict[str, tuple[Target, ...]] = {"softirq-bound": ("guest", "node")}
    found = space(catalogue().values(), stand, stand.read(), symptoms=bound, refusal=lambda _: "")
    (factor,) = [each for each in found.factors if each.setting == "rps_cpus"]
    changes = FILES["rps_cpus"].changes("rps_cpus", "others", stand, "path", stand.read())

    assert factor.values == ("all", "others")
    assert [(each.host, each.wanted) for each in changes] == [("a", "d"), ("b", "d")]


def test_a_word_is_kept_by_nettune_and_by_no_line_of_a_script() -> None:
    """`echo others` would be no mask."""
    assert line(ProfileSetting("rps_cpus", "others", "path")) is None
    assert line(ProfileSetting("rps_cpus", "3", "path")) is not None
    assert "echo MASK >" in FILES["rps_cpus"].command("rps_cpus", "others")
    assert FILES["xps_cpus"].problem("xps_cpus", "others") != ""
