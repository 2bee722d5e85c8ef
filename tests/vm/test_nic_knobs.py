"""Knobs that need a machine of its own, or a NIC with moderation and rings: guests with QEMU's e1000e."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from bench.facts.sheet import differences
from bench.hosts.command import Command
from bench.labs import qemu
from bench.labs.guests import Guests
from bench.labs.lab import Lab
from bench.labs.topology import Topology
from bench.plan import SettingSpec
from tests.vm.kit import kit, leases
from tuning import journal
from tuning.treatments import Settings

NIC = "eth0"
DEFAULT = "/proc/sys/net/core/default_qdisc"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two guests on one cable; every test leaves them as they were."""
    made = kit(Guests(memory_mb=384, nic="e1000e"))
    with qemu.standing(Topology("direct"), made, leases_folder=leases(tmp_path_factory.mktemp("lab"))) as stands:
        yield stands


# One treatment, since a reading of an emulated guest takes seconds.
HELD: Mapping[str, str] = {
    "rx-usecs": "100", "rx-ring": "512", "tx-ring": "512", "qdisc": "pfifo limit 77",
    "net.core.busy_read": "50", "net.core.busy_poll": "50",
}  # fmt: skip


def _treatment(settings: Mapping[str, str], kept: journal.Journal) -> Settings:
    return Settings("t", [SettingSpec(key, value, "guest") for key, value in settings.items()], kept)


def test_moderation_rings_qdisc_and_busy_polling_are_held_and_put_back(lab: Lab, tmp_path: Path) -> None:
    """What was asked for is read back, everything else that moved is explained, and the whole state is as before."""
    before = lab.read()
    with journal.kept(tmp_path / "journal") as kept:
        treatment = _treatment(HELD, kept)
        refusal = treatment.refusal(lab, before)
        with treatment.holds(lab, before) as held:
            changed = differences(before, held.within)
        after = lab.read()
    set_ = {each.key: each.after for each in changed if each.host == "a"}

    assert refusal == ""
    assert {key: set_[key] for key in (f"coalesce/{NIC}/rx-usecs", f"ring/{NIC}/rx", f"ring/{NIC}/tx")} == {
        f"coalesce/{NIC}/rx-usecs": "100", f"ring/{NIC}/rx": "512", f"ring/{NIC}/tx": "512",
    }  # fmt: skip
    assert (set_["sysctl/net.core.busy_read"], set_["sysctl/net.core.busy_poll"]) == ("50", "50")
    assert [each for each in changed if not treatment.explains(each)] == []
    assert differences(before, after) == ()
    assert not (tmp_path / "journal").exists()


def test_a_qdisc_that_would_not_come_back_is_left_alone(lab: Lab, tmp_path: Path) -> None:
    """The NIC has the kernel's qdisc of before default_qdisc was set: taking ours away would give it today's."""
    host = lab.a.host
    was = host.run(Command(("cat", DEFAULT))).stdout.strip()
    host.run(Command(("tee", DEFAULT), stdin="pfifo_fast")).require()
    try:
        with journal.kept(tmp_path / "journal") as kept:
            refusal = _treatment({"qdisc": "pfifo limit 77"}, kept).refusal(lab, lab.read())
    finally:
        host.run(Command(("tee", DEFAULT), stdin=was)).require()

    assert refusal.startswith(f"not settable here: a/{NIC} has the qdisc {was}, and would get pfifo_fast back")
    assert f"sysctl -w net.core.default_qdisc={was}" in refusal
