"""The whole way on Proxmox VE: `pve-vlan`'s VLAN measured, confirmed, a profile, a VM of the user's own that takes it.

And measured again: VMs made anew show the gain of that profile, and nothing of it all is left.
"""

import json
from pathlib import Path

import pytest
import yaml

from bench.hosts.command import Command
from tests.netns import sshd
from tests.netns.nettune_command import nettune
from tests.pve.guests import ip
from tests.pve.standing import Cluster

MINE = "192.0.2.50"


def _in_the_vlan(folder: Path) -> str:
    """`pve-vlan` as it ships, without its bridge and with one short probe: of a template whose offloads are off."""
    shipped = yaml.safe_load(Path("bench/plans/pve-vlan.yaml").read_text(encoding="utf-8"))
    (path,) = [each for each in shipped["topologies"] if each["network"] == "vlan"]
    shorter = {
        "topologies": [path],
        "probes": [{"kind": "tcp", "duration_s": 0.6, "warmup_s": 0.1}],
        "treatments": {"offloads": {"tso": "on", "gso": "on"}},
        "blocks": 4,
    }
    (folder / "vlan.yaml").write_text(yaml.safe_dump({**shipped, **shorter}), encoding="utf-8")
    return str(folder / "vlan.yaml")


@pytest.mark.quiet
def test_what_a_run_finds_is_confirmed_applied_and_seen_again(cluster: Cluster, tmp_path: Path) -> None:
    """A template whose offloads are off: the gain is found, its profile stands on a VM that is there to stay."""
    cluster.guests.off = ("tso", "gso")
    profile, plan = str(tmp_path / "profile.yaml"), _in_the_vlan(tmp_path)
    with sshd.namespace() as mine:
        ip(mine, f"link add eth0 type veth peer name tap7i0 netns {cluster.node.netns}\nlink set eth0 up\n"
                 f"addr add {MINE}/24 dev eth0\n")  # fmt: skip
        ip(cluster.node, "link set tap7i0 master vmbr0 up\n")
        mine.run(Command(("mount", "-t", "tmpfs", "none", "/var/lib"))).require()
        mine.run(Command(("ethtool", "-K", "eth0", "tso", "off", "gso", "off"))).require()
        with sshd.serving(mine, tmp_path / "mine", port=22, config=f"ListenAddress {MINE}\n") as server:
            home = sshd.home(tmp_path, tmp_path / "mine" / "user", f"{MINE} {server.login.pinned}\n")
            words = ("env", f"HOME={home}", f"NETTUNE_CLUSTER={cluster.site()}")

            def run(*verb: str) -> str:
                cluster.forget()
                done = nettune(*verb, prefix=(*cluster.prefix, *words))
                assert done.returncode == 0, done.stderr
                return done.stdout

            run("run", plan, "--seed", "7", *cluster.store)
            run("run", "--confirm", "last", "--seed", "8", *cluster.store)
            run("recommend", "last", "--output", profile, *cluster.store)
            said = run("apply", profile, "--host", f"ssh://root@{MINE}", "--device", "eth0", "--disruption", "d4",
                       "--confirm-within", "20", "--allow", "ssh")  # fmt: skip
            features = mine.run(Command(("ethtool", "-k", "eth0"))).require().stdout
            run("run", plan, "--profile", profile, "--seed", "9", *cluster.store)
            again = json.loads(run("show", "last", "--json", *cluster.store))

    settings = yaml.safe_load(Path(profile).read_text(encoding="utf-8"))["settings"]
    assert {row["setting"] for row in settings} <= {"tso", "gso"}, settings
    assert "tcp-segmentation-offload: on" in features, said
    verdicts = {each["treatment"]: each["verdict"] for each in again["treatments"] if each["metric"] == "goodput"}
    assert set(verdicts.values()) == {"better"}, verdicts
    assert len(verdicts) == 2
    assert {each["topology"] for each in again["treatments"]} == {"pve-vlan"}
