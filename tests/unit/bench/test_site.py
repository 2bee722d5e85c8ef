"""What a cluster's file fills into plans, and what it cannot."""

from pathlib import Path

import pytest

from bench.capacity import plan as density
from bench.plan import load, shipped
from bench.pve.deployment import net
from results.errors import WrongInput
from tests.unit.bench.sites import SITE, documented, own_plan
from tuning.knobs.table import check

PLAN = """\
name: mine
lab: {provider: proxmox}
topologies: [{kind: pve, network: vlan, mtu: 1300}, {kind: pve, bridge: vmbr7, firewall: on}]
probes: [{kind: tcp}]
primary: tcp.goodput
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the cluster's file, where nettune is typed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NETTUNE_CLUSTER", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "pve.yaml").write_text(SITE, encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(PLAN, encoding="utf-8")
    return tmp_path


def test_a_plan_gets_what_it_leaves_out(desk: Path) -> None:
    """Its own words come first; what is kept with a run names the cluster's file and every option."""
    plan = load("mine.yaml", check=check)
    assert plan.deployment is not None
    first, second = plan.topologies

    assert plan.deployment.cluster == desk / "pve.yaml"
    assert plan.deployment.placed == ("pve1", "pve2")
    assert plan.deployment.source == "9000"
    assert (first.name, net(first)) == ("pve-vlan", "virtio,bridge=vmbr1,tag=100,mtu=1300")
    assert net(second) == "virtio,bridge=vmbr7,firewall=1,mtu=1500"
    assert (first.addresses, first.reached) == (("198.18.0.1/24", "198.18.0.2/24"), ("192.0.2.10/24", "192.0.2.11/24"))
    assert (second.addresses, second.reached) == (
        ("198.18.1.1/24", "198.18.1.2/24"), ("192.0.2.12/24", "192.0.2.13/24")
    )  # fmt: skip
    assert plan.document["lab"] == {
        "provider": "proxmox", "cluster": str(desk / "pve.yaml"), "nodes": ["pve1", "pve2"], "template": "9000",
        "storage": "local-lvm", "management": "vmbr0",
        "addresses": ["192.0.2.10/24", "192.0.2.11/24", "192.0.2.12/24", "192.0.2.13/24"],
    }  # fmt: skip


def test_without_a_management_network_addresses_are_dealt_in_turn(desk: Path) -> None:
    """The measured NIC is then the way to the VM too."""
    (desk / "pve.yaml").write_text(SITE.replace("  management: vmbr0\n", ""), encoding="utf-8")
    first, second = load("mine.yaml", check=check).topologies

    assert (first.addresses, first.reached) == (("192.0.2.10/24", "192.0.2.11/24"), ())
    assert (second.addresses, second.reached) == (("192.0.2.12/24", "192.0.2.13/24"), ())


@pytest.mark.parametrize("name", [name for name in shipped() if name.startswith("pve-")])
def test_plans_that_ship_ask_for_networks_that_the_documentation_has(desk: Path, name: str) -> None:
    """With the site of docs/proxmox.md each of them can be measured."""
    documented(desk / "pve.yaml")

    assert load(name, check=check).name == name


def test_a_site_has_what_a_place_has(desk: Path) -> None:
    """Time for a start, the storage of images, CPUs, placement; many pairs say themselves where they stand."""
    more = "  ready_s: 600\n  image_storage: nfs\n  affinity: [2-3]\n  placement: same-node\n"
    (desk / "pve.yaml").write_text(SITE.replace("  networks:\n", f"{more}  networks:\n"), encoding="utf-8")
    (desk / "own.yaml").write_text(PLAN.replace("proxmox", 'proxmox, nodes: [pve3, pve4], affinity: ["5"]'),
                                   encoding="utf-8")  # fmt: skip
    given = load("mine.yaml", check=check).deployment
    own = load("own.yaml", check=check).deployment
    pairs = density.load("pve-density", ["pairs=[1, 2]"]).vms
    assert given is not None
    assert own is not None
    assert pairs is not None

    assert (given.ready_s, given.image_storage, given.affinity, given.nodes) == (600, "nfs", ("2-3",), ("pve1",))
    assert (own.ready_s, own.affinity, own.nodes) == (600, ("5",), ("pve3", "pve4"))
    assert (pairs.of.ready_s, pairs.of.affinity) == (600, ())


def test_a_sites_image_lies_beside_the_clusters_file(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever nettune is typed; a volume of the cluster is no file, and a plan's own image is named from here."""
    (desk / "own.yaml").write_text(PLAN.replace("proxmox", "proxmox, image: own.qcow2"), encoding="utf-8")
    (folder := desk / "conf").mkdir()
    (folder / "n.qcow2").touch()
    (desk / "own.qcow2").touch()
    monkeypatch.setenv("NETTUNE_CLUSTER", str(folder / "pve.yaml"))
    found = {}
    for image in ("n.qcow2", str(desk / "own.qcow2"), "local:import/n.qcow2"):
        (folder / "pve.yaml").write_text(SITE.replace("template: 9000", f"image: {image}"), encoding="utf-8")
        for name in ("mine", "own"):
            plan = load(f"{name}.yaml", check=check).deployment
            assert plan is not None
            found[name, image] = plan.source

    assert found["mine", "n.qcow2"] == str(folder / "n.qcow2")
    assert found["mine", str(desk / "own.qcow2")] == str(desk / "own.qcow2")
    assert found["mine", "local:import/n.qcow2"] == "local:import/n.qcow2"
    assert found["own", "n.qcow2"] == str(desk / "own.qcow2")


def test_a_plan_with_addresses_of_its_own_has_no_management_network_but_one_that_it_names(desk: Path) -> None:
    """As the documentation's: they are the measured NICs' own. Leases need the site's NIC for them."""
    documented(desk / "pve.yaml")
    text = own_plan(desk / "own.yaml").read_text(encoding="utf-8")
    (desk / "named.yaml").write_text(text.replace("pool: bench", "management: vmbr9")
                                     .replace(".11/24]}", ".11/24, 192.0.2.14/24, 192.0.2.15/24]}"),
                                     encoding="utf-8")  # fmt: skip
    (desk / "leased.yaml").write_text(PLAN.replace("proxmox", "proxmox, addresses: dhcp"), encoding="utf-8")
    own, named, leased = (load(f"{each}.yaml", check=check) for each in ("own", "named", "leased"))
    assert own.deployment is not None
    assert named.deployment is not None
    assert leased.deployment is not None

    assert [each.addresses[0] for each in own.topologies] == ["192.0.2.10/24", "192.0.2.12/24"]
    assert (own.deployment.management, own.topologies[0].reached) == ("", ())
    assert (named.deployment.management, named.topologies[0].reached[0]) == ("vmbr9", "192.0.2.10/24")
    assert (leased.deployment.management, leased.deployment.leased) == ("vmbr0", True)


def test_a_plan_without_a_cluster_is_told_where_to_name_one(desk: Path) -> None:
    """It can be listed all the same."""
    (desk / "pve.yaml").unlink()
    listed = load("pve-vlan", check=check, sited=False)
    with pytest.raises(WrongInput) as raised:
        load("pve-vlan", check=check)

    assert [each.name for each in listed.topologies] == ["pve-bridge", "pve-vlan"]
    assert str(raised.value).startswith(
        "pve-vlan.yaml:3: lab: it names no cluster's file, and there is none of pve.yaml"
    )
    assert "$NETTUNE_CLUSTER" in raised.value.hint


def test_the_variable_names_the_cluster(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before any file that is found."""
    (desk / "other.yaml").write_text(SITE.replace("9000", "9001"), encoding="utf-8")
    monkeypatch.setenv("NETTUNE_CLUSTER", "other.yaml")
    plan = load("mine.yaml", check=check)

    assert plan.deployment is not None
    assert plan.deployment.source == "9001"


WRONG = {
    "a network that the site has not": (
        (PLAN, "network: vlan", "network: vlam"), "mine.yaml:3: topologies[0].network: the site in", "mean 'vlan'?"
    ),
    "a site's key that there is not": ((SITE, "  storage:", "  storag:"), "pve.yaml:8: site", "storage"),
    "a network's key that there is not": ((SITE, "tag: 100", "tg: 100"), "unknown key 'tg'", "tag"),
    "a VLAN that cannot be": ((SITE, "tag: 100", "tag: 5000"), "pve.yaml:13:", ""),
    "no storage anywhere": (
        (SITE, "  storage: local-lvm\n", ""), "neither the plan nor the site in pve.yaml has 'storage'", "local-lvm"
    ),
    "neither template nor image": ((SITE, "  template: 9000\n", ""), "'template' or 'image'", "template: 9000"),
    "too few addresses": (
        (SITE, ", 192.0.2.12/24, 192.0.2.13/24", ""), "2 paths stand at the same time", "management network"
    ),
    "an odd number of addresses": ((SITE, ", 192.0.2.13/24", ""), "two addresses for each path", ""),
    "one node where two are asked for": (
        (SITE, "[pve1, pve2]", "[pve1]"), "across nodes takes two", "nodes: [pve1, pve2]"
    ),
    "rules without a firewall": (
        (PLAN, "mtu: 1300", "rules: 5"), "only a port that passes the firewall has rules", "firewall: on"
    ),
    "a peer without a gateway": (
        (PLAN, "bridge: vmbr7", "bridge: vmbr7, peer: vmbr0"), "a 'peer', b's bridge, and", "gateway: 10.9.0.1"
    ),
    "two networks without addresses": (
        (PLAN, "bridge: vmbr7", "bridge: vmbr7, peer: vmbr0, gateway: 10.9.0.1"),
        "a and b on two networks have addresses of their own", "addresses",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said", "hint"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_told_with_file_line_and_key(
    desk: Path, change: tuple[str, str, str], said: str, hint: str
) -> None:
    """Of whichever file it stands in."""
    text, old, new = change
    assert old in text
    (desk / ("pve.yaml" if text is SITE else "mine.yaml")).write_text(text.replace(old, new), encoding="utf-8")
    if said.startswith("across"):
        (desk / "mine.yaml").write_text(PLAN.replace("proxmox}", "proxmox, placement: across-nodes}"), encoding="utf-8")
    with pytest.raises(WrongInput) as raised:
        load("mine.yaml", check=check)

    assert said in str(raised.value)
    assert hint in raised.value.hint
