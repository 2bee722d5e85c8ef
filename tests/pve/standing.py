"""A cluster that stands for a test: the double, guests behind it, a node that is reached by SSH, a desk."""

import contextlib
import subprocess  # noqa: TID251 - the tests stand outside the door
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.hosts.namespace import Namespace
from tests.netns import sshd
from tests.netns.nettune_command import nettune
from tests.pve import shims
from tests.pve.guests import NODE, Guests, site
from tests.pve.kit import Double, running

PLAN = """\
name: same-node
lab: {{provider: proxmox, cluster: {cluster}, {lab}}}
topologies: [{{kind: pve, {more}}}]
probes: [{{kind: latency, duration_s: 0.3, interval_s: 0.005}}]
primary: latency.rtt_p50
blocks: {blocks}
treatments: {{held: {{net.ipv4.tcp_rmem: 4096 65536 1048576}}}}
"""
LAB = {"nodes": "[pve1]", "template": "9000", "storage": "local-lvm", "pool": "bench", "ready_s": "30",
       "addresses": "[192.0.2.10/24, 192.0.2.11/24]"}  # fmt: skip
BY_TOKEN = "token: bench@pve!net\nca_file: fakepve.crt\n"  # noqa: S105 - names it, and is none
ARCHIVE = "vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
DISK = {"scsi0": "local-lvm:base-9000-disk-0,size=2G"}


SITE = """\
site:
  nodes: [pve1, pve2]
  template: 9000
  storage: local-lvm
  pool: bench
  management: vmbr0
  addresses: [192.0.2.10/24, 192.0.2.11/24, 192.0.2.12/24, 192.0.2.13/24, 192.0.2.14/24, 192.0.2.15/24,
              192.0.2.16/24, 192.0.2.17/24]
  networks:
    bridge: {bridge: vmbr0}
    vlan: {bridge: vmbr0, tag: 100}
    bond: {bridge: vmbr1}
    vxlan: {bridge: vx1, mtu: 1450}
    nat: {bridge: nat0, peer: vmbr0, gateway: 10.9.0.1, addresses: [10.9.0.10/24, 198.51.100.100/24]}
"""


@dataclass(frozen=True)
class Cluster:
    """The double, what stands behind it, and where nettune is typed; `ssh` is what its file says of nodes."""

    double: Double
    guests: Guests
    node: Namespace
    prefix: tuple[str, ...]
    folder: Path
    ssh: str = field(default="")

    def plan(self, *, blocks: int = 2, more: str = "mtu: 1400", lab: dict[str, str] | None = None,
             access: str = BY_TOKEN, ssh: bool = False) -> str:  # fmt: skip
        """A plan's file; `lab` in place of LAB's keys, `ssh` says that the cluster's file has the node's."""
        path = self.folder / "pve.yaml"
        (self.folder / "secret").write_text("5ecret\n", encoding="utf-8")
        (self.folder / "secret").chmod(0o600)
        where = f"api: https://127.0.0.1:{self.double.port}\nsecret_file: secret\n"
        path.write_text(where + access + (self.ssh if ssh else ""), encoding="utf-8")
        keys = {**LAB, **(lab or {})}
        if "image" in keys:
            del keys["template"]
        words = ", ".join(f"{key}: {value}" for key, value in keys.items())
        more = more if more.startswith("bridge:") else f"bridge: vmbr0, {more}"
        text = PLAN.format(cluster=path, blocks=blocks, more=more, lab=words)
        (self.folder / "plan.yaml").write_text(text, encoding="utf-8")
        return str(self.folder / "plan.yaml")

    def site(self) -> str:
        """The cluster's file with what plans that ship leave out."""
        self.plan()
        path = self.folder / "site.yaml"
        path.write_text((self.folder / "pve.yaml").read_text(encoding="utf-8") + SITE, encoding="utf-8")
        return str(path)

    def forget(self) -> None:
        """The desk knows no MACs any more of the guests before: a lease's are new ones."""
        subprocess.run((*self.prefix, "ip", "neigh", "flush", "all"), check=True)

    @property
    def store(self) -> tuple[str, str]:
        """Words that name a store of its own."""
        return "--store", str(self.folder / "store.db")

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Nettune at the desk."""
        self.forget()
        return nettune(*words, prefix=self.prefix)


@contextlib.contextmanager
def stood(folder: Path, behind: type[Guests] = Guests) -> Iterator[Cluster]:
    """With templates of both kinds, an archive, a pool, and somebody else's VM; at the end that is all there is.

    `behind` is what stands for its VMs.
    """
    sshd.skip_where_it_cannot_run()
    with contextlib.ExitStack() as stack:
        node, other = stack.enter_context(sshd.namespace()), stack.enter_context(sshd.namespace())
        at = stack.enter_context(site(nodes := {"pve1": node, "pve2": other}))
        prefix = ("ip", "netns", "exec", at.netns)
        double = stack.enter_context(running(folder, prefix))
        shell = stack.enter_context(sshd.serving(node, folder / "node", port=22, config=f"ListenAddress {NODE}\n"))
        shims.installed(node, double.port, double.process.pid, folder)
        (folder / "known_hosts").write_text(f"{NODE} {shell.login.pinned}", encoding="utf-8")
        keys = f"keys: [{folder}/node/user], known_hosts: {folder}/known_hosts"
        double.tell("set", 0, "apitokens", {"bench@pve!net": "5ecret"})
        double.tell("store", "local-lvm", "shared", 1)  # of both nodes, some of whose VMs are clones from the other
        double.tell("add_vm", 9000, "template", template=True, config=DISK)
        rootfs = {"rootfs": "local-lvm:base-9001-disk-0,size=4G", "template": 1}
        double.tell("add_ct", 9001, "ct-template", config=rootfs)
        double.tell(
            "store", "local", "volumes", {ARCHIVE: {"content": "vztmpl", "size": 1, "ctime": 0, "format": "tzst"}}
        )
        double.tell("add_vm", 100, "theirs", status="running")
        double.tell("add_pool", "bench")
        double.tell("add_node", "pve2")
        guests = stack.enter_context(behind(double, nodes, folder))
        yield Cluster(double, guests, node, prefix, folder, f"nodes: {{pve1: {{ssh: ssh://root@{NODE}, {keys}}}}}\n")
        assert set(double.tell("guests")) == {"100", "9000", "9001"}
