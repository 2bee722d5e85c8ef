"""`nettune apply` on several nodes of one cluster: quorum and HA are asked between them. Both are stand-ins."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.facts.sheet import differences
from bench.hosts.command import Command
from bench.hosts.namespace import Namespace
from tests.netns import sshd
from tests.netns.standing_hosts import CONTROL, RMEM, Machines, value
from tests.netns.test_apply import HELD, A, desk, profile
from tests.unit.bench.test_cluster import VOTES, WELL

BECAME = f"grep -q {HELD.split()[-1]} /proc/sys/{RMEM.replace('.', '/')}"
WMEM = "net.ipv4.tcp_wmem"
B = f"ssh://root@{CONTROL['b']}:{sshd.PORT}"


@pytest.fixture
def nodes(machines: Machines, tmp_path: Path) -> Iterator[Machines]:
    """Both are nodes of a cluster that is well; afterwards they are what they were."""
    before = machines.facts()
    here = "mkdir -p /etc/corosync; for each in /etc/corosync /usr/local/bin; do mount -t tmpfs none $each; done; "
    for host in machines.both:
        host.run(Command(("sh", "-c", here + ": >/etc/corosync/corosync.conf"))).require()
        stand_in(host, "true")
    told(tmp_path)
    public = (machines.folder / "a" / "user.pub").read_text(encoding="utf-8")
    keys = machines.folder / "b" / "authorized_keys"
    own = keys.read_text(encoding="utf-8")
    keys.write_text(own + public, encoding="utf-8")
    (tmp_path / "prints").symlink_to(tmp_path / "well")
    yield machines
    keys.write_text(own, encoding="utf-8")
    for host in machines.both:
        host.run(Command(("sh", "-c", "umount /etc/corosync /usr/local/bin; rm -rf /var/lib/nettune")))
    assert differences(before, machines.facts()) == ()


def told(folder: Path) -> None:
    """What the programs print of a cluster that is well, and of two that are not."""
    for name, total, state in (("well", "3", "started"), ("away", "2", "started"), ("ill", "3", "error")):
        text = VOTES.format(total=total, quorate="Yes", state=state, lrm=WELL)
        votes, _, ha = text.partition("== votes\n")[2].partition("== ha\n")
        (folder / name).mkdir()
        (folder / name / "corosync-quorumtool").write_text(votes, encoding="utf-8")
        (folder / name / "ha-manager").write_text(ha, encoding="utf-8")


def stand_in(host: Namespace, line: str, folder: Path | None = None) -> None:
    """Programs that print what stands in `prints`, once `line` of shell was run."""
    for name in ("corosync-quorumtool", "ha-manager"):
        script = f"#!/bin/sh\n{line}\ncat {folder or '/nonexistent'}/prints/{name}\n"
        host.run(Command(("tee", f"/usr/local/bin/{name}"), stdin=script)).require()
        host.run(Command(("chmod", "+x", f"/usr/local/bin/{name}"))).require()


def test_the_next_node_is_changed_once_the_cluster_is_whole_again(nodes: Machines, tmp_path: Path) -> None:
    """A vote is missing for three looks after the first node was changed; then both have it."""
    line = (f"{BECAME} && {{ echo x >>{tmp_path}/looks; [ $(wc -l <{tmp_path}/looks) -gt 3 ] && to=well || to=away;"
            f"ln -sfn {tmp_path}/$to {tmp_path}/prints; }}")  # fmt: skip
    for host in nodes.both:
        stand_in(host, "true", tmp_path)
    # The guard watches quorum alone, which two of three votes give.
    nodes.a.run(Command(("tee", "/usr/local/bin/corosync-quorumtool"), stdin=(
        f"#!/bin/sh\n{line}\ncat {tmp_path}/prints/corosync-quorumtool\n"))).require()  # fmt: skip
    done = desk(nodes, "apply", profile(tmp_path, **{RMEM: HELD}), "--host", A, "--host", B)

    assert done.returncode == 0, done.stderr
    assert "its cluster has all its votes, and HA nothing to mend" in done.stdout
    assert [value(each, RMEM) for each in nodes.both] == [HELD, HELD]
    assert len((tmp_path / "looks").read_text(encoding="utf-8").split()) >= 4
    for word in (A, B):
        assert desk(nodes, "rollback", word).returncode == 0


def test_a_service_in_error_after_the_first_node_leaves_the_second_as_it_was(nodes: Machines, tmp_path: Path) -> None:
    """Nobody waits for what an administrator must mend; who is changed and who is not is told."""
    was = value(nodes.b, RMEM)
    for host in nodes.both:
        stand_in(host, f"{BECAME} && ln -sfn {tmp_path}/ill {tmp_path}/prints", tmp_path)
    done = desk(nodes, "apply", profile(tmp_path, **{RMEM: HELD}), "--host", A, "--host", B)

    assert done.returncode == 3
    assert "its cluster is not well: HA has vm:100 on pve1 in error" in done.stderr
    assert f"applied before: {A}; not touched: {B}" in done.stderr
    assert (value(nodes.a, RMEM), value(nodes.b, RMEM)) == (HELD, was)
    assert desk(nodes, "rollback", A).returncode == 0


def test_no_node_is_touched_while_another_is_away(nodes: Machines, tmp_path: Path) -> None:
    """Two of three votes before the first one: nothing is changed; one node alone may be, and a dry run always."""
    (tmp_path / "prints").unlink()
    (tmp_path / "prints").symlink_to(tmp_path / "away")
    for host in nodes.both:
        stand_in(host, "true", tmp_path)
    was = value(nodes.a, RMEM)
    mine = profile(tmp_path, **{RMEM: HELD})
    done = desk(nodes, "apply", mine, "--host", A, "--host", B)
    untouched = value(nodes.a, RMEM)
    dry = desk(nodes, "apply", mine, "--host", A, "--host", B, "--dry-run")
    alone = desk(nodes, "apply", mine, "--host", A)

    assert done.returncode == 3
    assert "2 of 3 votes are there: a node of the cluster is missing" in done.stderr
    assert f"applied before: none; not touched: {A}, {B}" in done.stderr
    assert untouched == was
    assert dry.returncode == 0, dry.stderr
    assert alone.returncode == 0, alone.stderr
    assert desk(nodes, "rollback", A).returncode == 0


def test_one_host_waits_for_its_cluster_where_that_is_asked_for(nodes: Machines, tmp_path: Path) -> None:
    """As a rollout calls it for each host; by itself one host may be changed whatever its cluster lacks."""
    for host in nodes.both:
        stand_in(host, "true", tmp_path)
    (tmp_path / "prints").unlink()
    (tmp_path / "prints").symlink_to(tmp_path / "ill")
    mine = profile(tmp_path, **{RMEM: HELD})
    refused = desk(nodes, "apply", mine, "--host", A, "--cluster-well")
    was = value(nodes.a, RMEM)
    alone = desk(nodes, "apply", mine, "--host", A)
    desk(nodes, "rollback", A)

    assert refused.returncode == 3
    assert "its cluster is not well" in refused.stderr
    assert was != HELD
    assert alone.returncode == 0, alone.stderr


def test_two_desks_change_no_two_nodes_of_a_cluster_at_once(nodes: Machines, tmp_path: Path) -> None:
    """A change that waits on one node keeps the next one as it is, a rollback there too, until it is taken back."""
    shared = tmp_path / "pve"
    (tmp_path / "other").mkdir()
    (shared / "priv").mkdir(parents=True)
    (shared / "corosync.conf").touch()
    for host in nodes.both:
        host.run(Command(("sh", "-c", f"mkdir -p /etc/pve; mount --bind {shared} /etc/pve"))).require()
    mine, was = profile(tmp_path, **{RMEM: HELD}), value(nodes.b, RMEM)
    before = desk(nodes, "apply", profile(tmp_path / "other", **{WMEM: HELD}), "--host", B)
    held = desk(nodes, "apply", mine, "--host", A, "--hold")
    refused, back = desk(nodes, "apply", mine, "--host", B), desk(nodes, "rollback", B)
    meanwhile = value(nodes.b, RMEM), value(nodes.b, WMEM)
    emergency = desk(nodes, "rollback", B, "--unclaimed")
    of_itself = desk(nodes, "rollback", A)
    free = desk(nodes, "apply", mine, "--host", B)
    last = desk(nodes, "rollback", B)
    left = list((shared / "priv").iterdir())
    for host in nodes.both:
        host.run(Command(("umount", "/etc/pve"))).require()

    assert [each.returncode for each in (before, held, refused, back)] == [0, 0, 3, 3], before.stderr + held.stderr
    assert all("is being changed, for at most" in each.stderr for each in (refused, back))
    assert "--unclaimed" in back.stderr
    assert (meanwhile, left) == ((was, HELD), [])
    assert [each.returncode for each in (emergency, of_itself, free, last)] == [0, 0, 0, 0], emergency.stderr
