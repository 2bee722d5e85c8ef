"""Density plans of VMs on nodes of a Proxmox VE: which pair stands where, by which addresses; what is refused."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import document
from bench.capacity import plan as plans
from bench.capacity.on_nodes import OnNodes
from bench.capacity.plan import DensityPlan
from bench.document import from_plain
from bench.labs import vm_paths
from results.errors import WrongInput
from tests.unit.bench.sites import SITE, documented

PLAN = """\
name: mine
lab: {provider: proxmox, cluster: CLUSTER, nodes: [pve1, pve2, pve3], template: 9000, storage: s, addresses: ADDRESSES}
topologies: [{kind: pve, bridge: vmbr0, tag: 7}]
layout: mixed
pairs: [1, 2, 3, 4]
duration_s: 8
"""
ROW = "[192.0.2.10-192.0.2.17/24]"


def planned(folder: Path, text: str = PLAN, *, addresses: str = ROW) -> DensityPlan:
    """The plan in a text, as from a file, with a cluster's file beside it."""
    (folder / "pve.yaml").write_text(SITE, encoding="utf-8")
    whole = text.replace("CLUSTER", str(folder / "pve.yaml")).replace("ADDRESSES", addresses)
    return plans.parse(document.read(whole, "mine.yaml"))


def vms(plan: DensityPlan) -> OnNodes:
    """Of a plan that has them."""
    assert plan.vms is not None
    return plan.vms


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ("layout: same", ["pve1>pve1"] * 4),
        ("layout: across", ["pve1>pve3"] * 4),
        ("layout: mixed", ["pve1>pve1", "pve1>pve3"] * 2),
        ("places: [pve2, pve1>pve3, pve3>pve1]", ["pve2>pve2", "pve1>pve3", "pve3>pve1", "pve2>pve2"]),
    ],
)
def test_pairs_are_placed_by_layout_or_one_by_one(tmp_path: Path, words: str, places: list[str]) -> None:
    """A list of places begins anew when it is over."""
    assert [">".join(each) for each in vms(planned(tmp_path, PLAN.replace("layout: mixed", words))).places] == places


def test_each_pair_has_two_addresses_of_its_own(tmp_path: Path) -> None:
    """Of the row, in order; its guests are made where it stands."""
    topology, of = vms(planned(tmp_path)).pair(2)

    assert topology.addresses == ("192.0.2.12/24", "192.0.2.13/24")
    assert of.nodes == ("pve1", "pve3")


def test_with_a_management_network_the_measured_addresses_are_planned(tmp_path: Path) -> None:
    """In the prefix that is reserved for benchmarks, whole: every pair's differ."""
    text = PLAN.replace("storage: s", "storage: s, management: vmbr9")
    pairs = [vms(planned(tmp_path, text)).pair(number)[0] for number in (1, 2, 3, 4)]

    assert pairs[1].reached == ("192.0.2.12/24", "192.0.2.13/24")
    assert pairs[1].addresses == ("198.18.0.2/15", "198.19.0.2/15")
    assert len({address for each in pairs for address in each.addresses}) == 8


def test_a_run_keeps_its_plan_such_that_it_is_read_again(tmp_path: Path) -> None:
    """--resume reads the document of the run."""
    plan = planned(tmp_path)

    assert plans.parse(from_plain(dict(plan.document), "the run's plan")) == plan


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("pairs: [1, 2, 3, 4]", "pairs: [5]"), "5 pairs take 10 addresses, and there are 8"),
        (("[pve1, pve2, pve3]", "[pve1]"), "layout mixed takes two nodes, and there is pve1"),
        (("layout: mixed", "layout: mixed\nplaces: [pve1]"), "'layout' of all"),
        (("layout: mixed", "places: [pve9]"), "pve9 is none of the lab's nodes: pve1, pve2, pve3"),
        (("layout: mixed", "places: ['pve1 pve2']"), "names no place of a pair"),
        (("layout: mixed", "places: []"), "it names no node"),
        (("storage: s", "storage: s, placement: same-node"), "where pairs stand is the plan's own word"),
        (("layout: mixed", "layout: mixed\nuplink_mbit: 100"), "nothing is shaped there"),
        (("topologies: [{kind: pve, bridge: vmbr0, tag: 7}]\n", ""), "does not say how the VMs are connected"),
        (("[{kind: pve, bridge: vmbr0, tag: 7}]", "[bridge]"), "VMs of a Proxmox VE have no bridge between them"),
        (("tag: 7}]", "tag: 7}, {kind: pve, bridge: vmbr1}]"), "pairs have one path"),
        (("tag: 7", "vlan: 7, device_addresses: [198.51.100.1/24, 198.51.100.2/24]"), "of a path between two VMs"),
        (("tag: 7", "create: on"), "'create' is of a path between two VMs"),
        (("tag: 7", "addresses: [192.0.2.1/24, 192.0.2.2/24]"), "'addresses' is of a path between two VMs"),
    ],
)
def test_what_cannot_be_is_told_by_line_and_key(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    """Before a cluster is asked anything."""
    with pytest.raises(WrongInput, match=r"mine\.yaml:\d+") as raised:
        planned(tmp_path, PLAN.replace(*change))

    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [("layout: mixed", "layout: this is for VMs"), ("places: [pve1]", "places: this is for VMs"),
     ("topologies: [bridge]", "topologies: this is for VMs")],
)  # fmt: skip
def test_words_of_vms_are_refused_between_namespaces(line: str, said: str) -> None:
    """They would say nothing there."""
    with pytest.raises(WrongInput, match=said):
        plans.parse(document.read(f"name: mine\npairs: [1]\nduration_s: 8\n{line}\n", "mine.yaml"))


def test_two_of_a_pair_in_two_subnets_cannot_meet(tmp_path: Path) -> None:
    """Unless they are reached by another NIC."""
    apart = "[192.0.2.10/24, 198.51.100.10/24]"
    text = PLAN.replace("[1, 2, 3, 4]", "[1]")

    with pytest.raises(WrongInput, match="of one pair are of two subnets"):
        planned(tmp_path, text, addresses=apart)
    assert planned(tmp_path, text.replace("storage: s", "storage: s, management: vmbr9"), addresses=apart).vms


def test_what_ships_runs_on_the_documented_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its networks, with addresses enough; without a site it can be shown, and a run is told where one would be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETTUNE_CLUSTER", str(documented(tmp_path / "pve.yaml")))
    plan = plans.load("pve-density")
    monkeypatch.delenv("NETTUNE_CLUSTER")
    (tmp_path / "pve.yaml").unlink()

    assert {*vms(plan).places} == {("pve1", "pve1")}
    assert dict(vms(plan).topology.net) == {"bridge": "vmbr0"}
    assert vms(plans.load("pve-density", sited=False)).places == ()
    with pytest.raises(WrongInput, match="it names no cluster's file"):
        plans.load("pve-density")


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("[192.0.2.1-192.0.2.4/30]", None),
        ("[192.0.2.9-192.0.2.8/24]", None),
        ("[192.0.2.1-2001:db8::4/64]", None),
        ("[192.0.2.1-/24]", None),
        ("[10.0.0.1-10.0.255.255/16]", None),
        ("[192.0.2.1-192.0.2.3/24, 192.0.2.3/24]", None),
        ("['2001:db8::1-2001:db8::2/64']", ("2001:db8::1/64", "2001:db8::2/64")),
        ("[192.0.2.1/24, 192.0.2.8-192.0.2.10/24]", ("192.0.2.1/24", "192.0.2.8/24", "192.0.2.9/24", "192.0.2.10/24")),
    ],
)
def test_addresses_may_stand_in_rows(written: str, found: tuple[str, ...] | None) -> None:
    """From the first to the last, of one subnet, none twice."""
    node = document.read(written, "a.yaml")

    if found:
        assert vm_paths.pairs(node) == found
    else:
        with pytest.raises(WrongInput, match=re.escape("a.yaml:1")):
            vm_paths.pairs(node)


@given(st.text(alphabet="0123456789.:-/ab", max_size=24))
def test_any_text_is_a_row_of_addresses_or_is_refused(text: str) -> None:
    """Nothing else comes out of it."""
    node = from_plain([text, "192.0.2.1/24"], "a.yaml")
    try:
        found: Mapping[str, int] = dict.fromkeys(vm_paths.pairs(node), 1)
    except WrongInput:
        return

    assert len(found) % 2 == 0
