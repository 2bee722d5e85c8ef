"""Planted faults of NICs and drivers, each named by the level that must catch it; a clean pair, of which none is told.

Each fault once at every commit; `make bench` repeats them.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.facts.sheet import Sheets, differences
from bench.hosts.command import Command
from bench.labs.lab import Lab
from bench.labs.namespaces import standing
from bench.labs.topology import Topology
from tests.netns import offload_driver
from tests.netns.offload_relay import relaying
from tuning.journal import kept
from tuning.offload.evidence import BAD, Level, Validation, Verdict
from tuning.offload.validating import Wanted, concluded, observe

REPEATS = 5
BULK_BYTES = 4_000_000  # of each connection: enough for every one of these faults
TSO, USO, TUNNEL = "tx-tcp-segmentation", "tx-udp-segmentation", "tx-udp_tnl-segmentation"


@dataclass(frozen=True)
class Planted:
    """A fault, the level that must catch it, and what must be said of whom (feature, direction)."""

    kind: str
    level: Level
    of: tuple[str, str]
    verdict: Verdict
    words: str
    features: tuple[str, ...] = (TSO,)


ON_THE_WAY = (
    Planted("corrupts", "function", ("payload", "tx"), "corrupts", "not as sent from byte"),
    Planted("corrupts late", "function", ("payload", "tx"), "drops", "dropped for a wrong checksum"),
    Planted("corrupts super", "function", (TSO, "tx"), "corrupts", "not with tx-tcp-segmentation off"),
    Planted("corrupts odd", "function", ("payload", "tx"), "corrupts", "odd writes"),
    Planted("drops super", "function", (TSO, "tx"), "drops", "not with tx-tcp-segmentation off"),
    Planted("hangs", "function", ("payload", "tx"), "hangs", "none in the last"),
    Planted("dies", "function", ("payload", "tx"), "hangs", "no exchange came about"),
    Planted("missizes", "function", (USO, "tx"), "corrupts", "not with tx-udp-segmentation off", (USO,)),
    Planted("scrambles gso", "function", (USO, "tx"), "corrupts", "not with tx-udp-segmentation off", (USO,)),
    Planted("drops gso", "function", (USO, "tx"), "drops", "not with tx-udp-segmentation off", (USO,)),
    Planted("trusts", "function", ("payload", "tx"), "corrupts", "with a wrong checksum were taken for right"),
    Planted("doubles", "function", ("payload", "tx"), "corrupts", "came twice"),
    Planted("loses", "function", ("payload", "tx"), "drops", "did not come"),
    Planted("strips tags", "function", ("payload", "tx"), "corrupts", "came without their tag"),
    Planted("drops tunnels", "function", (TUNNEL, "tx"), "drops", "not with tx-udp_tnl-segmentation off", (TUNNEL,)),
    Planted("wrong tags", "function", ("payload", "tx"), "corrupts", "with other content"),
)
BY_THE_DRIVER = (
    Planted("refuses", "negotiation", (TSO, "tx"), "refused", "reads 'on'"),
    Planted("ignores", "negotiation", (TSO, "tx"), "refused", "reads 'on'"),
    Planted("pretends", "engaged", (TSO, "tx"), "engaged though off", "while off"),
    Planted("hangs", "negotiation", (TSO, "tx"), "hangs", "did not end within"),
    Planted("loses the link", "negotiation", (TSO, "tx"), "hangs", "no carrier"),
    Planted("resets", "negotiation", (TSO, "tx"), "works", "resets a: link/eth0/txqlen"),
    Planted("couples", "negotiation", (TSO, "tx"), "works", "tx-udp-segmentation as well"),
)


def _repeated(faults: Iterable[Planted]) -> list[object]:
    """Every fault, and again: what is repeated runs whole in `make bench` alone."""
    return [
        pytest.param(each, id=f"{each.kind}-{turn}", marks=[pytest.mark.sampled(0)] if turn else [])
        for turn in range(REPEATS)
        for each in faults
    ]


def seen(lab: Lab, folder: Path, wanted: Wanted) -> Validation:
    """What a validation of these levels says, without a run of what it is worth."""
    with kept(folder / "journal.jsonl") as journal:
        return concluded(observe(lab, wanted, journal), {})


def ends(lab: Lab) -> Sheets:
    """Both ends' state: the node's bridge loses its carrier a moment after its ports."""
    return {name: sheet for name, sheet in lab.read().items() if name in {"a", "b"}}


def named(found: Validation, planted: Planted) -> None:
    """The fault is where it must be, in the words that it must have, and nobody else is blamed."""
    row = next(row for row in found.features if (row.feature, row.direction) == planted.of)
    said = row.evidence["engaged" if planted.verdict == "engaged though off" else planted.level]

    assert (row.verdict, planted.words in said) == (planted.verdict, True), said
    accused = {row.feature for row in found.features if row.verdict in BAD} - {"payload"}
    assert accused <= {planted.of[0]}


def named_on_the_way(lab: Lab, folder: Path, planted: Planted, bulk_bytes: int) -> None:
    """A relay with that fault on a lab's bridge: named by the level that must catch it, and the ends are as before."""
    wanted = Wanted(levels=frozenset({planted.level, "restored"}), features=planted.features, bulk_bytes=bulk_bytes)
    with relaying(lab, planted.kind):
        before = ends(lab)
        found = seen(lab, folder, wanted)

        assert differences(before, ends(lab)) == ()
    named(found, planted)
    outcomes = {each.level: each.outcome for each in found.levels}
    assert (outcomes[planted.level], outcomes["restored"]) == ("failed", "ok")


@pytest.mark.parametrize("planted", _repeated(ON_THE_WAY))
def test_what_a_nic_does_to_packets_is_named(state: Path, tmp_path: Path, planted: Planted) -> None:
    """A relay in place of the wire corrupts, drops, hangs, strips; the pair is as it was afterwards."""
    with standing(Topology("bridge"), leases_folder=state) as lab:
        named_on_the_way(lab, tmp_path, planted, BULK_BYTES)


@pytest.mark.parametrize("planted", _repeated(BY_THE_DRIVER))
def test_what_a_driver_makes_of_a_toggle_is_named(state: Path, tmp_path: Path, planted: Planted) -> None:
    """An ethtool that refuses, ignores, pretends, hangs, loses the link, resets, couples; all is as it was."""
    levels = frozenset({planted.level, "restored"})
    wanted = Wanted(levels=levels, features=planted.features, bulk_bytes=BULK_BYTES)
    with standing(Topology("direct"), leases_folder=state) as lab:
        before = lab.read()
        offload_driver.install(lab.a.host, tmp_path / "driver", planted.kind)
        found = seen(lab, tmp_path, wanted)

        assert differences(before, lab.read()) == ()
    named(found, planted)
    assert {each.outcome for each in found.levels if each.level == "restored"} == {"ok"}


def test_a_driver_that_does_not_go_back_is_told_and_nothing_more_is_toggled(state: Path, tmp_path: Path) -> None:
    """Off, and then an error: the level `restored` fails, with the fact; later arms are left alone."""
    wanted = Wanted(features=(TSO, "tx-scatter-gather"))
    with standing(Topology("direct"), leases_folder=state) as lab:
        offload_driver.install(lab.a.host, tmp_path / "driver", "one way")
        found = seen(lab, tmp_path, wanted)
    levels = {each.level: each for each in found.levels}
    rows = {row.feature: row for row in found.features}

    assert levels["restored"].outcome == "failed"
    assert "feature/eth0/tx-tcp-segmentation" in " ".join(levels["restored"].evidence)
    assert rows["tx-scatter-gather"].verdict == "can't be judged here"


def test_tagged_frames_that_are_lost_with_a_feature_alone_are_laid_to_it(state: Path, tmp_path: Path) -> None:
    """None comes while tags are left to the device, and all do while they are not: no switch does that."""
    vlan = "tx-vlan-hw-insert"
    wanted = Wanted(levels=frozenset({"function", "restored"}), features=(vlan,), bulk_bytes=BULK_BYTES)
    folder = tmp_path / "driver"
    with standing(Topology("bridge"), leases_folder=state) as lab, relaying(lab, "loses tags", folder / "seen"):
        offload_driver.install(lab.a.host, folder, "inserts tags")
        found = seen(lab, tmp_path, wanted)

    named(found, Planted("loses tags", "function", (vlan, "tx"), "drops", f"not with {vlan} off"))


def test_a_nic_that_claims_tso_and_is_given_no_segments_is_told(state: Path, tmp_path: Path) -> None:
    """`gso_max_segs 1`: the bit reads on, and no packet above the MTU is ever sent."""
    with standing(Topology("direct"), leases_folder=state) as lab:
        lab.a.host.run(Command(("ip", "link", "set", "eth0", "gso_max_segs", "1"))).require()
        found = seen(lab, tmp_path, Wanted(levels=frozenset({"engaged"}), features=(TSO,)))

    assert {row.verdict for row in found.features if row.feature == TSO} == {"claimed but not engaged"}


def test_a_path_that_stalls_after_a_while_fails_its_soak(state: Path, tmp_path: Path) -> None:
    """For some seconds all passes, then nothing: the soak ends at once, and says when and what was under way."""
    with standing(Topology("bridge"), leases_folder=state) as lab, relaying(lab, "stalls"):
        found = seen(lab, tmp_path, Wanted(levels=frozenset({"stability"}), soak_s=15, bulk_bytes=1_000_000))
    level = next(each for each in found.levels if each.level == "stability")

    assert level.outcome == "failed"
    assert re.match(r"after \d+ s: .*(hangs|did not come about)", level.evidence[0])


def test_a_queue_that_stands_still_is_named(state: Path, tmp_path: Path) -> None:
    """Of two one lets nothing out: the soak ends at once, with its number.

    Unless what the ends tell each other is dealt to that queue itself: then they know no more than that it hangs.
    """
    told: list[str] = []
    while len(told) < 4 and not any("all that left by queue 1, which stands still" in each for each in told):
        with standing(Topology("bridge", queues=2), leases_folder=state) as lab, relaying(lab, "queue stands"):
            wanted = Wanted(levels=frozenset({"stability"}), soak_s=15, bulk_bytes=1_000_000)
            found = seen(lab, tmp_path / str(len(told)), wanted)
        level = next(each for each in found.levels if each.level == "stability")
        assert level.outcome == "failed"
        assert "spread out: hangs" in level.evidence[0]
        told.append(level.evidence[0])

    assert "all that left by queue 1, which stands still" in told[-1]


def test_connections_are_shared_over_all_queues(state: Path, tmp_path: Path) -> None:
    """Of twenty as of four, each way; of one there is nothing to say."""
    rows = {}
    for queues in (20, 4, 1):
        with standing(Topology("direct", queues=queues), leases_folder=state) as lab:
            found = seen(lab, tmp_path, Wanted(levels=frozenset({"engaged"}), features=("tx-nocache-copy",)))
        rows[queues] = {row.direction: row for row in found.features if row.feature == "queues"}

    assert {way: row.verdict for way, row in rows[20].items()} == {"tx": "works", "rx": "works"}, rows[20]
    assert re.search(r"by queue 1[3-9]", rows[20]["rx"].evidence["engaged"])
    assert {way: row.verdict for way, row in rows[4].items()} == {"tx": "works", "rx": "works"}
    assert "by queue 3" in rows[4]["rx"].evidence["engaged"]
    assert {row.verdict for row in rows[1].values()} == {"not present"}


CLEAN: dict[tuple[str, str], Verdict] = {
    ("payload", "tx"): "works",
    ("payload", "rx"): "works",
    (TSO, "tx"): "works",
    ("tx-tcp6-segmentation", "tx"): "works",
    (USO, "tx"): "works",
    ("tx-checksum-ip-generic", "tx"): "works",
    ("tx-udp_tnl-segmentation", "tx"): "works",
    ("tx-udp_tnl-csum-segmentation", "tx"): "works",
    ("rx-gro", "rx"): "works",
    ("udp-gro", "rx"): "works",
    # veth verifies nothing; a device that gives the sum alone would look the same.
    ("rx-checksum", "rx"): "can't be judged here",
}


@pytest.mark.parametrize("end", ["a", "b"])
@pytest.mark.parametrize("turn", [0, *(pytest.param(turn, marks=pytest.mark.sampled(0)) for turn in range(1, 25))])
def test_of_a_clean_pair_nothing_wrong_is_said(state: Path, tmp_path: Path, end: str, turn: int) -> None:
    """Levels 1 to 4 and 7 of either end: every feature that can be seen works, and all is as it was."""
    with standing(Topology("direct"), leases_folder=state) as lab:
        before = lab.read()
        found = seen(lab, tmp_path, Wanted(nic_end=end, seed=turn))

        assert differences(before, lab.read()) == ()
    verdicts: dict[tuple[str, str], Verdict] = {(row.feature, row.direction): row.verdict for row in found.features}
    assert {key: verdicts[key] for key in CLEAN} == CLEAN
    others = {verdict for key, verdict in verdicts.items() if key not in CLEAN}
    assert others <= {"can't be judged here", "not present"}
    assert {each.level: each.outcome for each in found.levels if each.level != "engaged"} == {
        "inventory": "ok", "negotiation": "ok", "function": "ok", "benefit": "not asked", "stability": "not asked",
        "restored": "ok",
    }  # fmt: skip


def test_a_relay_without_a_fault_takes_no_offload_away(state: Path, tmp_path: Path) -> None:
    """What stands in for bad NICs is itself none: with it the pair is as clean as without."""
    with standing(Topology("bridge"), leases_folder=state) as lab, relaying(lab, "nothing"):
        found = seen(lab, tmp_path, Wanted(levels=frozenset({"function", "engaged"}), features=(TSO, USO)))

    assert {row.verdict for row in found.features if row.feature != "queues"} == {"works"}
