"""`pve check`: what a plan asks of a cluster is there, missing or not seen; and the commands that make it."""

import contextlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.hosts.command import Command, Unreachable
from bench.hosts.local import Local
from bench.hosts.login import Login
from bench.labs.topology import Topology
from bench.pve import node_check, preflight, privileges
from bench.pve.deploying import deployed
from bench.pve.deployment import Deployment
from bench.pve.errors import PveFault
from bench.pve.lab import evaluated
from bench.pve.new_network import NewNetwork
from bench.pve.preflight import Row
from results.errors import NotAble
from tests.pve.faults import wanted
from tests.pve.kit import Double
from tests.unit.bench.fakes import FakeHost
from tests.unit.nettune.program import here

WHO = "bench@pve!net"
PATHS = [Topology("pve", net=(("bridge", "vmbr0"), ("tag", "10")))]


def deployment(source: str = "9000", storage: str = "local-lvm", pool: str = "bench") -> Deployment:
    """Two VMs of template 9000."""
    return Deployment(Path("pve.yaml"), ("pve1",), source, storage, ("192.0.2.10/24", "192.0.2.11/24"), pool=pool)


@pytest.fixture
def cluster(double: Double) -> Double:
    """With all that is asked for but rights."""
    double.tell("set", 0, "apitokens", {WHO: "5ecret"})
    config = {"scsi0": "local-lvm:base-9000-disk-0,size=2G", "ide2": "local-lvm:vm-9000-cloudinit,media=cdrom"}
    double.tell("add_vm", 9000, "template", template=True, config=config)
    double.tell("add_pool", "bench")
    return double


def rows(double: Double, of: Deployment) -> dict[str, Row]:
    """What is told of each thing."""
    client = double.client(who=WHO, secret="5ecret")  # noqa: S106 - of a double
    return {row.what: row for row in preflight.checked(client, of, PATHS, WHO)}


def test_what_is_there_is_told(cluster: Double) -> None:
    """For whoever may do everything."""
    found = rows(cluster, deployment())

    assert {what: row.why for what, row in found.items() if row.word != "there" and "bridge" not in what} == {}
    assert {
        "node pve1",
        "storage local-lvm on pve1",
        "template 9000",
        "pool bench",
        "privileges on /pool/bench",
    } <= set(found)


def test_each_missing_privilege_is_named_with_its_path(cluster: Double) -> None:
    """A token that may do half of it; what nobody granted is told by the words of Proxmox VE."""
    half = [
        ["/pool/bench", ["VM.Allocate", "VM.Audit"]],
        ["/storage/local-lvm", ["Datastore.Audit"]],
        ["/", ["Sys.Audit"]],
    ]
    cluster.tell("acl", WHO, half)
    found = rows(cluster, deployment())

    assert "VM.PowerMgmt" in found["privileges on /pool/bench"].why
    assert "VM.Audit" not in found["privileges on /pool/bench"].why
    assert found["privileges on /storage/local-lvm"].why == "Datastore.AllocateSpace"
    assert "SDN.Use" in found["privileges on /sdn/zones/localnetwork/vmbr0"].why
    assert "--tokens" in found["privileges on /vms/9000"].command


def test_a_vnet_is_used_by_its_own_zone(cluster: Double) -> None:
    """A bridge is one of localnetwork's; the commands ask for the same."""
    root = cluster.client()
    root.post("/cluster/sdn/zones", {"zone": "lab", "type": "simple"})
    root.post("/cluster/sdn/vnets", {"vnet": "vnet1", "zone": "lab"})
    paths = [Topology("pve", net=(("bridge", each),)) for each in ("vmbr0", "vnet1")]
    client = cluster.client(who=WHO, secret="5ecret")  # noqa: S106 - of a double
    found = {row.what for row in preflight.checked(client, deployment(), paths, WHO)}
    commands = preflight.setup(client, deployment(), paths, WHO)

    assert {"privileges on /sdn/zones/lab/vnet1", "privileges on /sdn/zones/localnetwork/vmbr0"} <= found
    assert "privileges on /sdn/zones/localnetwork/vnet1" not in found
    assert any("/sdn/zones/lab/vnet1 " in line for line in commands)


def granted(lines: Sequence[str], folder: Path) -> list[list[object]]:
    """What those lines grant the token, as `sh` on a node reads them; a vnet's zone stands in a file there."""
    (folder / "vnets.cfg").write_text(
        "vnet: other\n\tzone theirs\n\nvnet: vnet1\n\tzone lab\n\ttag 7\n", encoding="utf-8"
    )
    script = "pveum() { printf '%s\\n' \"$*\"; }\n" + "\n".join(lines)
    script = script.replace("/etc/pve/sdn", str(folder))
    said = Local().run(Command(("sh", "-euc", script))).require().stdout
    roles = dict(re.findall(r"^role add (\S+) --privs (.*)$", said, re.MULTILINE))
    to = re.findall(rf"^acl modify (\S+) --roles (\S+) --tokens {WHO}$", said, re.MULTILINE)
    return [[path, roles[role].split()] for path, role in to]


@pytest.mark.parametrize("asked", [True, False])
def test_what_setup_prints_is_enough_to_check_and_to_make_the_vms(
    cluster: Double, tmp_path: Path, *, asked: bool
) -> None:
    """A token with exactly those rights, of VMs with rules on a bridge and on a vnet; with and without the API."""
    root = cluster.client()
    root.post("/cluster/sdn/zones", {"zone": "lab", "type": "simple"})
    root.post("/cluster/sdn/vnets", {"vnet": "vnet1", "zone": "lab"})
    cluster.tell("set", 0, "bridges", [{"iface": name, "active": 1, "type": kind, "mtu": "1500"}
                                       for name, kind in (("vmbr0", "bridge"), ("vnet1", "vnet"))])  # fmt: skip
    paths = [Topology("pve", net=(("bridge", each),), rules=1) for each in ("vmbr0", "vnet1")]
    lines = (preflight.setup(root, deployment(), paths, WHO) if asked
             else privileges.setup(deployment(), paths, WHO, 0))  # fmt: skip
    cluster.tell("configure_firewall", 1)
    cluster.tell("acl", WHO, granted(lines, tmp_path))
    client = cluster.client(who=WHO, secret="5ecret")  # noqa: S106 - of a double
    found = {row.what: row for row in preflight.checked(client, deployment(), paths, WHO)}
    of = [replace(each, nics=((f"virtio,bridge={name}", each.nics[0][1]),), rules=1)
          for each, name in zip(wanted("9000"), ("vmbr0", "vnet1"), strict=True)]  # fmt: skip
    with deployed(client, of, leases_folder=tmp_path, cluster=tmp_path / "pve.yaml") as made:
        evaluated(client, paths[0])

    assert {what: row.why for what, row in found.items() if row.word != "there"} == {}
    assert "privileges on /sdn/zones/lab/vnet1" in found
    assert len(made) == 2


def test_a_template_asks_for_what_it_has_itself(cluster: Double, tmp_path: Path) -> None:
    """Its own bridges and its mapped device, which a clone has at first: with all that is printed it can be made."""
    for key, value in (("net0", "virtio=BC:24:11:00:00:09,bridge=vmbr7,tag=5"), ("hostpci0", "mapping=fast,pcie=1")):
        cluster.tell("configure", 9000, key, value)
    client = cluster.client(who=WHO, secret="5ecret")  # noqa: S106 - of a double
    lines = preflight.setup(cluster.client(), deployment(), PATHS, WHO)
    without = [line for line in lines if "/vmbr7" not in line and "/mapping/" not in line]
    of = [replace(each, nics=each.nics[:1], rules=0) for each in wanted("9000")]
    cluster.tell("acl", WHO, granted(without, tmp_path))
    lacking = {
        row.what: row.why for row in preflight.checked(client, deployment(), PATHS, WHO) if row.word == "missing"
    }
    with (
        pytest.raises(PveFault, match=r"/sdn/zones/localnetwork/vmbr7, SDN.Use"),
        deployed(client, of, leases_folder=tmp_path, cluster=tmp_path / "pve.yaml"),
    ):
        pass
    cluster.tell("acl", WHO, granted(lines, tmp_path))
    with deployed(client, of, leases_folder=tmp_path, cluster=tmp_path / "pve.yaml") as made:
        pass

    assert lacking == {
        "privileges on /sdn/zones/localnetwork/vmbr7": "SDN.Use",
        "privileges on /mapping/pci/fast": "Mapping.Use",
    }
    assert len(made) == 2


def test_a_token_that_does_not_count_is_told_with_the_commands_that_make_one(
    cluster: Double, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """401: they are printed, and then the error."""
    file = tmp_path / "pve.yaml"
    (tmp_path / "secret").write_text("another\n", encoding="utf-8")
    (tmp_path / "secret").chmod(0o600)
    file.write_text(f"api: https://127.0.0.1:{cluster.port}\ntoken: {WHO}\nsecret_file: secret\nca_file: fakepve.crt\n"
                    "site: {nodes: [pve1], template: 9000, storage: local-lvm, pool: bench, "
                    "addresses: [192.0.2.10/24, 192.0.2.11/24], networks: {bridge: {bridge: vmbr0}}}\n",
                    encoding="utf-8")  # fmt: skip
    monkeypatch.setenv("NETTUNE_CLUSTER", str(file))
    done = here(tmp_path / "state", monkeypatch, capsys)("pve", "check", "pve-same-node")

    assert done.returncode == 3
    assert "is the token whole" in done.stderr
    assert "pveum user token add bench@pve net --privsep 1" in done.stdout.splitlines()


def test_rules_ask_for_the_clusters_firewall(cluster: Double) -> None:
    """It is told whether it is on, which takes a privilege of its own."""
    paths = [Topology("pve", net=(("bridge", "vmbr0"), ("firewall", "1")), rules=100)]
    client = cluster.client(who=WHO, secret="5ecret")  # noqa: S106 - of a double
    cluster.tell("configure_firewall", 0)
    off = {row.what: row for row in preflight.checked(client, deployment(), paths, WHO)}["the cluster's firewall"]
    cluster.tell("configure_firewall", 1)
    on = {row.what: row for row in preflight.checked(client, deployment(), paths, WHO)}["the cluster's firewall"]
    cluster.tell("acl", WHO, [["/vms", ["VM.Audit"]]])
    unseen = {row.what: row for row in preflight.checked(client, deployment(), paths, WHO)}

    assert (off.word, on.word) == ("missing", "there")
    assert "would not be evaluated" in off.why
    assert unseen["the cluster's firewall"].word == "not seen"
    assert unseen["privileges on /"].why == "Sys.Audit"


def test_linked_clones_ask_for_the_storage_of_their_template(cluster: Double) -> None:
    """Where their disks really lie, whatever the plan's `storage` is; of an image it is the plan's."""
    root = cluster.client()
    cluster.tell("configure", 9000, "scsi0", "local:9000/base-9000-disk-0.qcow2,size=2G")
    cluster.tell("configure", 9000, "ide2", "local:9000/vm-9000-cloudinit.qcow2,media=cdrom")
    cluster.tell("configure", 9000, "ide0", "iso:iso/debian.iso,media=cdrom")
    found = rows(cluster, deployment())
    image = rows(cluster, deployment(source="local:import/nettune.qcow2"))
    lines = "\n".join(preflight.setup(root, deployment(), PATHS, WHO))

    assert "storage local-lvm on pve1" not in found
    assert found["storage local on pve1"].command.startswith("pvesm set local --content images,")
    assert "privileges on /storage/local" in found
    assert "storage local-lvm on pve1" in image
    assert ("/storage/local " in lines, "local-lvm" in lines) == (True, False)


@pytest.mark.parametrize(
    ("shared", "word"),
    [({"local-lvm": 0, "local": 0}, "missing"), ({"local-lvm": 1, "local": 0}, "missing"),
     ({"local-lvm": 1, "local": 1}, "there")],
)  # fmt: skip
def test_clones_on_another_node_than_their_template_take_shared_storage(
    cluster: Double, tmp_path: Path, shared: dict[str, int], word: str
) -> None:
    """Proxmox VE refuses others, for the sake of a CD alone too; what is refused is told before, with what instead."""
    cluster.tell("add_node", "pve2")
    cluster.tell("configure", 9000, "ide0", "local:iso/debian.iso,media=cdrom")
    for name, value in shared.items():
        cluster.tell("store", name, "shared", value)
    of = replace(deployment(), nodes=("pve1", "pve2"))
    client = cluster.client(who=WHO, secret="5ecret")  # noqa: S106 - of a double
    row = rows(cluster, of)["clones of template 9000 on pve2"]
    path = Topology("pve", net=(("bridge", "vmbr0"),))
    two = [replace(each, node=node, rules=0) for each, node in zip(wanted("9000"), of.nodes, strict=True)]
    makes = deployed(client, two, leases_folder=tmp_path, cluster=tmp_path / "pve.yaml")

    assert row.word == word
    assert not any(what.startswith("clones of") for what in rows(cluster, deployment()))
    if word == "there":
        preflight.refuse(client, of, path, ())
        with makes as made:
            assert [each.node for each in made] == ["pve1", "pve2"]
        return
    assert "placement: same-node" in row.why
    with pytest.raises(NotAble, match="clones of template 9000 on pve2: it is on pve1"):
        preflight.refuse(client, of, path, ())
    with pytest.raises(PveFault, match=r"can't clone VM to node 'pve2' \(VM uses local storage\)"), makes:
        pass


def test_a_role_is_named_by_what_it_holds() -> None:
    """So that one that was made for another plan is the same, or another; a row's own command is a real one."""
    plain = privileges.setup(deployment(), PATHS, WHO, 9)
    wider = privileges.setup(deployment(source="/srv/nettune.qcow2"), PATHS, WHO, 9)
    roles = {line.split()[3]: line for line in (*plain, *wider) if line.startswith("pveum role add")}
    (made, to_user, to_token) = privileges.given("/vms/9000", ("VM.Audit", "VM.Clone"), WHO, 9)

    assert len(roles) == len({line for line in (*plain, *wider) if line.startswith("pveum role add")})
    assert made in plain
    assert to_user in plain
    assert to_token == f"pveum acl modify /vms/9000 --roles {made.split()[3]} --tokens '{WHO}'"


def test_a_node_is_asked_once(cluster: Double) -> None:
    """Of itself and of its network, however many bridges there are."""
    paths = [Topology("pve", net=(("bridge", f"vmbr{number}"),)) for number in range(4)]
    before = len(cluster.tell("requests"))
    preflight.checked(cluster.client(who=WHO, secret="5ecret"), deployment(), paths, WHO)  # noqa: S106 - of a double
    asked = [path for method, path in cluster.tell("requests")[before:] if method == "GET"]

    assert sum(path.endswith("/nodes") for path in asked) == 1
    assert sum(path.endswith("/nodes/pve1/network") for path in asked) == 1


def test_what_is_missing_says_what_there_is(cluster: Double) -> None:
    """Node, storage, template and pool that are none."""
    found = rows(cluster, deployment(storage="fast", source="101", pool="nobody"))
    image = rows(cluster, deployment(source="local:import/nettune.qcow2"))

    assert found["storage fast on pve1"].why == "there are local, local-lvm"
    assert found["template 101"].word == "not seen"
    assert found["pool nobody"].command == "pveum pool add nobody"
    assert image["image local:import/nettune.qcow2 on pve1"].word in {"missing", "not seen"}


def test_the_commands_make_a_role_for_each_kind_of_path() -> None:
    """User, token, pool, and no more privileges than are asked for; of version 8 with its own words."""
    nine, eight = privileges.setup(deployment(), PATHS, WHO, 9), privileges.setup(deployment(), PATHS, WHO, 8)

    assert "pveum user token add bench@pve net --privsep 1" in nine
    assert any("VM.GuestAgent.Unrestricted" in line for line in nine)
    assert any("VM.Monitor" in line for line in eight)
    assert not any("Sys.Modify" in line for line in (*nine, *eight))
    assert any("/sdn/zones/localnetwork/vmbr0" in line for line in nine)


@contextlib.contextmanager
def opened(name: str, login: Login) -> Iterator[FakeHost]:
    """An SSH to pve1 alone, as root; nothing is missing there."""
    if login.address != "pve1":
        raise Unreachable(f"{login.address} does not answer", hint="is its sshd running?")
    yield FakeHost(name, answer=lambda command: (0, "0" if command.argv[0] == "id" else ""))


def test_a_nodes_ssh_is_really_opened(cluster: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the cluster's file names it is not enough; and what is left out without it is told."""
    monkeypatch.setattr(node_check, "connected", opened)
    client = cluster.client(who=WHO, secret="5ecret")  # noqa: S106 - of a double
    asked = [
        {row.what: row for row in preflight.checked(client, deployment(), PATHS, WHO, logins, ("nftables",))}
        for logins in ({"pve1": Login("pve1")}, {"pve1": Login("192.0.2.9")}, {})
    ]
    well, silent, none = (each["SSH of pve1"] for each in asked)
    without = {row.what for row in preflight.checked(client, deployment(), PATHS, WHO)}

    assert (well.word, silent.word, none.word) == ("there", "missing", "missing")
    assert silent.why == "192.0.2.9 does not answer; is its sshd running?"
    assert none.why.startswith("nftables of the plan would be left out")
    assert "SSH of pve1" not in without


@pytest.mark.parametrize(
    ("rows_", "word"),
    [
        (
            [{"iface": "bond0", "type": "bond"}, {"iface": "vmbr0", "type": "bridge", "bridge_ports": "bond0.7"}],
            "there",
        ),
        ([{"iface": "eno1", "type": "eth"}, {"iface": "vmbr0", "type": "bridge", "bridge_ports": "eno1"}], "missing"),
        ([{"iface": "vmbr0", "type": "bridge", "bridge_ports": "bond0"}], "not seen"),
        (
            [{"iface": "b1", "type": "OVSBond"}, {"iface": "vmbr0", "type": "OVSBridge", "ovs_ports": "x b1"}],
            "there",
        ),
    ],
)
def test_a_plan_of_a_bond_asks_whether_there_is_one(cluster: Double, rows_: list[dict[str, str]], word: str) -> None:
    """Below the bridge that the site names so; other plans do not ask."""
    cluster.tell("set", 0, "bridges", rows_)
    client = cluster.client(who=WHO, secret="5ecret")  # noqa: S106 - of a double
    path = Topology("pve", label="pve-bond", net=(("bridge", "vmbr0"),))
    found = {row.what: row for row in preflight.checked(client, deployment(), [path], WHO)}
    plain = {row.what for row in preflight.checked(client, deployment(), PATHS, WHO)}

    assert found["bond of vmbr0 on pve1"].word == word
    assert "bond of vmbr0 on pve1" not in plain


def test_containers_and_images_from_here_ask_for_what_they_need(
    cluster: Double, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSH of the node, a storage for containers, one that takes images; each with what makes it."""
    monkeypatch.setattr(node_check, "connected", opened)
    cluster.tell("add_ct", 9001, "template", config={"template": 1})
    of = replace(deployment(source="9001"), affinity=("1",))
    container = rows(cluster, of)
    image = rows(cluster, deployment(source="/srv/nettune.qcow2"))
    cluster.tell("store", "local", "content", "iso,import")
    takes = rows(cluster, deployment(source="/srv/nettune.qcow2"))
    client = cluster.client(who=WHO, secret="5ecret")  # noqa: S106 - of a double
    reached = {row.what: row for row in preflight.checked(client, of, PATHS, WHO, {"pve1": Login("pve1")})}

    assert container["template 9001"].word == "there"
    assert container["storage local-lvm on pve1"].word == "there"
    assert "pins no container" in container["CPUs of pve1"].why
    assert (container["SSH of pve1"].word, reached["SSH of pve1"].word) == ("missing", "there")
    assert image["storage local for an image on pve1"].command == "pvesm set local --content import,iso,vztmpl,backup"
    assert takes["storage local for an image on pve1"].word == "there"


@pytest.mark.parametrize(
    ("bridge", "net", "mtu", "word", "why"),
    [
        ({"type": "bridge", "mtu": "1500"}, ("tag", "10"), 1500, "missing", "not VLAN-aware"),
        ({"type": "bridge", "mtu": "1500", "bridge_vlan_aware": 1}, ("tag", "10"), 1500, "there", ""),
        ({"type": "bridge", "bridge_vlan_aware": 1, "bridge_vids": "2-9 11"}, ("tag", "10"), 1500, "there", "2-9 11"),
        ({"type": "bridge", "bridge_vlan_aware": 1, "bridge_vids": "2-99"}, ("trunks", "10;20-30"), 1500, "there", ""),
        ({"type": "OVSBridge"}, ("trunks", "10;20"), 1500, "there", ""),
        ({"type": "vnet"}, ("tag", "10"), 1450, "there", ""),
        ({"type": "bridge", "mtu": "1500"}, ("rate", "10"), 9000, "missing", "below the plan's 9000"),
        ({"type": "vnet"}, ("rate", "10"), 9000, "not seen", "says no MTU"),
    ],
)
def test_a_bridge_is_judged_by_what_it_says(
    cluster: Double, bridge: dict[str, object], net: tuple[str, str], mtu: int, word: str, why: str
) -> None:
    """VLAN-aware or not where that matters, its MTU where it has one; Open vSwitch and vnets take tags."""
    cluster.tell("set", 0, "bridges", [{"iface": "vmbr0", "active": 1, **bridge}])
    path = Topology("pve", mtu=mtu, net=(("bridge", "vmbr0"), net))
    client = cluster.client(who=WHO, secret="5ecret")  # noqa: S106 - of a double
    found = {row.what: row for row in preflight.checked(client, deployment(), [path], WHO)}["bridge vmbr0 on pve1"]

    assert found.word == word
    assert why in found.why


@pytest.mark.parametrize(
    ("net", "vids", "word"),
    [
        (("tag", "10"), "2-4094", "there"),
        (("tag", "10"), "2-9 11", "missing"),
        (("trunks", "10;20-30"), "10-29", "missing"),
        (("trunks", "10;20-30"), "10 11 20-30", "there"),
    ],
)
def test_a_vlan_that_a_bridge_does_not_pass_is_told(
    cluster: Double, net: tuple[str, str], vids: str, word: str
) -> None:
    """Between nodes it has no way; whatever other paths on that bridge have."""
    cluster.tell("add_node", "pve2")
    row = {"iface": "vmbr0", "type": "bridge", "active": 1, "bridge_vlan_aware": 1, "bridge_vids": vids}
    cluster.tell("set", 0, "bridges", [row])
    paths = [Topology("pve", net=(("bridge", "vmbr0"), each)) for each in (("tag", "11"), net)]
    of = replace(deployment(), nodes=("pve1", "pve2"))
    client = cluster.client(who=WHO, secret="5ecret")  # noqa: S106 - of a double
    found = {row.what: row for row in preflight.checked(client, of, paths, WHO)}

    assert [found[f"bridge vmbr0 on {node}"].word for node in of.nodes] == [word, word]
    assert (" ".join(net) in found["bridge vmbr0 on pve2"].why) == (word == "missing")


@pytest.mark.parametrize("source", ["local:import/n.qcow2", "/srv/n.qcow2"])
def test_an_image_is_looked_for_on_each_node(cluster: Double, source: str) -> None:
    """Of a storage that the second has not."""
    cluster.tell("add_node", "pve2")
    cluster.tell("store", "local", "content", "iso,import")
    cluster.tell("store", "local", "nodes", "pve1")
    there = {"import/n.qcow2": {"content": "import", "size": 1, "ctime": 0, "format": "qcow2"}}
    cluster.tell("store", "local", "volumes", there)
    found = rows(cluster, replace(deployment(source=source), nodes=("pve1", "pve2")))
    what = "storage local for an image" if source.startswith("/") else f"image {source}"

    assert found[f"{what} on pve1"].word == "there"
    assert found[f"{what} on pve2"].word != "there"


def test_a_cluster_without_quorum_is_told(cluster: Double) -> None:
    """To whoever may see it: nothing can be made there."""
    before = rows(cluster, deployment())
    cluster.tell("lose_quorum")
    after = rows(cluster, deployment())
    cluster.tell("regain_quorum")
    cluster.tell("fail", "GET", "/cluster/status", 403, "Permission check failed (/, Sys.Audit)")
    unseen = rows(cluster, deployment())
    (name,) = (what for what in before if what.startswith("quorum of cluster"))

    assert (before[name].word, after[name].word, after[name].command) == ("there", "missing", "pvecm status")
    assert after[name].why.startswith("1 of 1 nodes are online")
    assert name not in unseen


def test_networks_that_are_made_ask_for_more(cluster: Double) -> None:
    """Privileges on the node or on SDN, and root's SSH to each node; the bridge itself need not be there."""
    made = [
        Topology("pve", net=(("bridge", "vmbr901"),), create=NewNetwork()),
        Topology("pve", net=(("bridge", "nttest0"),), create=NewNetwork(zone="simple")),
    ]
    cluster.tell("acl", WHO, [["/", ["Sys.Audit"]]])
    client = cluster.client(who=WHO, secret="5ecret")  # noqa: S106 - of a double
    found = {row.what: row for row in preflight.checked(client, deployment(), made, WHO)}
    commands = privileges.setup(deployment(), made, WHO, 9)

    assert found["privileges on /nodes/pve1"].why == "Sys.Modify"
    assert found["privileges on /sdn"].why == "SDN.Allocate, SDN.Audit, SDN.Use"
    assert found["root's SSH to pve1, for its guard"].word == "missing"
    assert "nodes: {pve1: {ssh: ssh://root@pve1}}" in found["root's SSH to pve1, for its guard"].why
    assert not any(what.startswith("bridge ") for what in found)
    assert any("Sys.Modify" in line for line in commands)
    assert any("SDN.Allocate" in line for line in commands)
