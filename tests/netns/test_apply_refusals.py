"""What `nettune apply` refuses, and what it says: bad profiles, unsafe hosts, changed keys."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.facts.sheet import differences
from bench.hosts.command import Command
from tests.netns import standing_hosts
from tests.netns.standing_hosts import CONTROL, RMEM, Machines, value, waited
from tests.netns.test_apply import HELD, A, changes, desk, late_s, prefix, profile
from tests.unit.bench.test_cluster import TEXT as CLUSTER


@pytest.fixture
def untouched(machines: Machines) -> Iterator[Machines]:
    """The machines; afterwards their whole state is what it was, and no guard was ever armed."""
    before = machines.facts()
    yield machines
    assert differences(before, machines.facts()) == ()
    assert standing_hosts.guards(machines.a) == []


def sh(machines: Machines, line: str) -> None:
    """A line of shell on a."""
    machines.a.run(Command(("sh", "-c", line), deadline_s=60.0)).require()


def test_a_profile_that_cannot_be_is_refused_by_line(untouched: Machines, tmp_path: Path) -> None:
    """Of a newer format, a knob that is none, a value out of its range; before any host is asked."""
    newer, unknown, range_ = (tmp_path / name for name in ("newer", "unknown", "range"))
    for folder in (newer, unknown, range_):
        folder.mkdir()
    path = Path(profile(newer, **{RMEM: HELD}))
    path.write_text(path.read_text(encoding="utf-8").replace("format: 2", "format: 99"), encoding="utf-8")
    words = ("--host", A)
    told = [desk(untouched, "apply", file, *words) for file in
            (str(path), profile(unknown, mtuu="9000"), profile(range_, mtu="70000"), "no-such-profile")]  # fmt: skip

    both = desk(untouched, "apply", profile(range_, mtu="1400"), *words, "--hold", "--persist")

    assert both.returncode == 2
    assert "nettune confirm HOST --persist" in both.stderr
    assert [each.returncode for each in told] == [2, 2, 2, 2]
    assert "newer format" in told[0].stderr
    assert "mine.yaml:1" in told[0].stderr
    assert "'mtuu' is no knob" in told[1].stderr
    assert "mtu" in told[2].stderr
    assert "no-such-profile" in told[3].stderr


def test_what_is_never_changed_is_refused(untouched: Machines, tmp_path: Path) -> None:
    """Class X of the catalogue, with all else of the profile."""
    was = value(untouched.a, "net.ipv4.tcp_sack")
    wanted = "0" if was == "1" else "1"
    done = desk(untouched, "apply", profile(tmp_path, **{RMEM: HELD, "net.ipv4.tcp_sack": wanted}), "--host", A)

    told = [desk(untouched, "apply", profile(tmp_path, **{name: "1"}), "--host", A, "--disruption", "d5")
            for name in ("net.ipv6.conf.all.disable_ipv6", "net.ipv4.conf.all.forwarding")]  # fmt: skip
    unknown = desk(untouched, "apply", profile(tmp_path, **{"net.ipv4.conf.all.arp_ignore": "8"}), "--host", A)

    assert done.returncode == 3
    assert "net.ipv4.tcp_sack: it is never changed" in done.stderr
    assert "nothing was changed" in done.stderr
    assert ["it is never changed" in each.stderr for each in told] == [True, True], [each.stderr for each in told]
    assert "net.ipv4.conf.all.arp_ignore: its disruption is d4" in unknown.stderr, unknown.stdout


def test_a_host_without_root_or_a_disk_that_can_be_written_is_refused(untouched: Machines, tmp_path: Path) -> None:
    """The guard must be on disk before the first write."""
    mine = profile(tmp_path, **{RMEM: HELD})
    sh(untouched, "mkdir -p /var/lib/nettune; mount -t tmpfs -o ro none /var/lib/nettune")
    read_only = desk(untouched, "apply", mine, "--host", A)
    sh(untouched, "umount /var/lib/nettune; mount -t tmpfs -o size=4k none /var/lib/nettune; "
                  "mkdir /var/lib/nettune/guard; head -c 4096 /dev/zero >/var/lib/nettune/full || true")  # fmt: skip
    full = desk(untouched, "apply", mine, "--host", A)
    sh(untouched, "umount /var/lib/nettune; rm -rf /var/lib/nettune")

    assert (read_only.returncode, full.returncode) == (3, 3)
    assert "nothing was changed" in read_only.stderr
    assert "Read-only" in read_only.stderr
    assert "No space left" in full.stderr


def test_a_host_key_that_has_changed_is_refused(untouched: Machines, tmp_path: Path) -> None:
    """With both fingerprints; nothing is sent there."""
    mine = profile(tmp_path, **{RMEM: HELD})
    words = prefix(untouched)
    known = untouched.folder / "home" / ".ssh" / "known_hosts"
    text = known.read_text(encoding="utf-8")
    of_b = next(line.split(maxsplit=1)[1] for line in text.splitlines() if CONTROL["b"] in line)
    known.write_text(f"[{CONTROL['a']}]:2222 {of_b}\n", encoding="utf-8")
    done = desk(untouched, "apply", mine, "--host", A)
    known.write_text(text, encoding="utf-8")

    assert words[0] == "ip"
    assert done.returncode == 3
    assert "host key" in done.stderr


def test_a_node_that_would_be_fenced_is_refused_whatever_is_allowed(untouched: Machines, tmp_path: Path) -> None:
    """Corosync on the device, HA active, no other ring; in maintenance it goes on. Proxmox's programs are stand-ins."""
    folder, filters = tmp_path / "pve", tmp_path / "whole"
    folder.mkdir()
    filters.mkdir()
    (folder / "corosync.conf").write_text("nodelist {\n node {\n  ring0_addr: 192.0.2.2\n }\n}\n", encoding="utf-8")
    sh(untouched, f"mkdir -p /etc/corosync && mount --bind {folder} /etc/corosync; mount -t tmpfs none /usr/local/bin")
    node = untouched.a.run(Command(("uname", "-n"))).stdout.strip().partition(".")[0]
    links = CLUSTER.partition("== links\n")[2].format(second="connected")
    links = links.replace("10.0.0.1", "192.0.2.1").replace("10.0.1.1", CONTROL["a"])
    ha = CLUSTER.partition("== ha\n")[2].partition("== links")[0].replace("lrm pve1", f"lrm {node}")
    ha = ha.replace("(pve1, started)", f"({node}, stopped)")
    mine = profile(tmp_path, txqueuelen="2000")
    words = ("apply", mine, "--host", A, "--device", "eth0", "--allow", "corosync", "--disruption", "d4", "--dry-run",
             "--json")  # fmt: skip
    told = []
    whole = profile(filters, **{"net.ipv4.conf.all.rp_filter": "1"})
    one = links.partition("LINK ID 1")[0]
    for state, rings in (("active", one), ("maintenance mode", one), ("active", links)):
        for name, text in (("ha-manager", ha.format(state=state)), ("corosync-cfgtool", rings)):
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")
            line = f"printf '#!/bin/sh\\ncat {folder}/{name}.txt\\n' >/usr/local/bin/{name}"
            sh(untouched, f"{line}; chmod +x /usr/local/bin/{name}")
        told.append(desk(untouched, *words))
    told.append(desk(untouched, "apply", whole, *words[2:]))
    sh(untouched, "umount /usr/local/bin /etc/corosync")

    assert "corosync has no other ring than by eth0" in told[0].stdout, told[0].stderr
    assert "node-maintenance enable" in told[0].stdout
    assert "fenced" not in told[1].stdout + told[1].stderr
    assert "txqlen" in told[1].stdout, told[1].stderr
    assert "fenced" not in told[2].stdout  # its second ring is on no device that is changed
    assert "it acts on the whole host, and HA is active" in told[3].stdout, told[3].stdout + told[3].stderr


def test_who_else_sets_it_is_told_beside_the_plan(untouched: Machines, tmp_path: Path) -> None:
    """A file of sysctl.d, and an option in /etc/network/interfaces, with line and who wins."""
    (tmp_path / "50-x.conf").write_text(f"# x\n{RMEM} = 1 2 3\n", encoding="utf-8")
    (tmp_path / "interfaces").write_text("iface eth0 inet manual\n  mtu 1500\n", encoding="utf-8")
    sh(untouched, "for each in network sysctl.d; do mkdir -p /etc/$each; mount -t tmpfs none /etc/$each; done;"
                  f"cp {tmp_path}/interfaces /etc/network/; cp {tmp_path}/50-x.conf /etc/sysctl.d/")  # fmt: skip
    mine = profile(tmp_path, **{RMEM: HELD, "mtu": "1400"})
    done = desk(untouched, "apply", mine, "--host", A, "--device", "eth0", "--disruption", "d4", "--dry-run")
    sh(untouched, "umount /etc/network /etc/sysctl.d")
    said = " ".join(done.stdout.split())

    assert done.returncode == 0, done.stderr
    assert f"/etc/sysctl.d/50-x.conf:2: {RMEM} = 1 2 3: it wins after a boot" in said
    assert "/etc/network/interfaces:2: mtu 1500: it wins after a boot, and after `ifreload -a` it wins" in said


def test_a_dry_run_ends_with_the_command_that_allows_all_of_it(
    untouched: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every word that is missing is named at once, with who rides there; what it says to type is refused no more."""
    monkeypatch.setenv("COLUMNS", "200")
    mine = profile(tmp_path, mtu="1400", **{RMEM: HELD})
    sh(untouched, "ip link add link mgmt0 name upper0 type macvlan")
    first = desk(untouched, "apply", mine, "--host", A, "--device", "mgmt0", "--dry-run")
    (line,) = re.findall(r"^to apply it: nettune (.*)$", first.stdout, re.MULTILINE)
    second = desk(untouched, *shlex.split(line), "--dry-run", "--json")
    sh(untouched, "ip link del upper0")
    (told,) = json.loads(second.stdout)
    ridden = {each["fact"]: (each["rides"], each["above"]) for each in told["changes"]}

    assert first.returncode == 0, first.stderr
    assert re.search(r"link/mgmt0/mtu.* 1500 .* 1400 .* d4 .* ssh, guests, upper0", first.stdout), first.stdout
    assert ridden[f"sysctl/{RMEM}"] == ([], [])
    assert ridden["link/mgmt0/mtu"][1] == ["upper0"]
    assert [word in " ".join(ridden["link/mgmt0/mtu"][0]) for word in ("our SSH connection came to", "upper0 (macvlan)")
            ] == [True, True]  # fmt: skip
    assert "--disruption d4 allows it" in first.stdout
    assert line == f"apply {mine} --host {A} --device mgmt0 --allow guests --allow ssh --disruption d4"
    assert (told["refused"], sorted(told["command"].split())) == ({}, sorted(["nettune", *line.split()]))
    assert {each["fact"] for each in told["changes"]} == {"link/mgmt0/mtu", f"sysctl/{RMEM}"}


def test_a_setting_that_cuts_the_way_is_put_back_by_the_host_alone(machines: Machines, tmp_path: Path) -> None:
    """A queue of no packets on the device of our own SSH connection: back within the confirm time and five seconds."""
    before = machines.facts()
    cutting = profile(tmp_path, qdisc="pfifo limit 0")
    done = desk(machines, "apply", cutting, "--host", A, "--device", "mgmt0", "--allow", "ssh", "--disruption", "d4",
                "--confirm-within", "6")  # fmt: skip
    waited(lambda: desk(machines, "history", A).returncode == 0, 20)
    (known,) = changes(machines, A)

    assert done.returncode == 3
    assert re.search(r"puts? itself back", done.stderr), done.stderr
    assert known["state"] == "put itself back"
    assert late_s(machines, known) <= 5
    assert differences(before, machines.facts()) == ()
    machines.a.run(Command(("sh", "-c", "rm -rf /var/lib/nettune")))
