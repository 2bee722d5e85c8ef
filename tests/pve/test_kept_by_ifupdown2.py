"""`nettune apply --persist` where ifupdown2 brings the network up: its lines in /etc/network/interfaces, and back.

The node is a tree with the real ifupdown2 in a namespace, reached over a real sshd. A boot is played: values are lost,
`ifup -a` is run, the kernel has another boot id, and then our script is run.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.hosts.command import Command
from tests.netns import sshd
from tests.netns.nettune_command import run_program, sooner
from tests.netns.standing_hosts import waited
from tests.netns.test_apply import profile
from tests.pve import net_node
from tests.pve.net_node import INTERFACES, NetNode

HOST = f"ssh://root@127.0.0.1:{sshd.PORT}"
SETTINGS = {"mtu": "1400", "tso": "off", "gro": "on", "txqueuelen": "2000"}
STANZA = "iface eno1 inet manual\n"
WITH = INTERFACES.replace(STANZA, f"{STANZA}\tmtu 1400\n\ttso-offload off\n")
KEEP = "/var/lib/nettune/guard/*/keep"
_LOST = "ip link set eno1 mtu 1500 txqueuelen 1000; ethtool -K eno1 tso on gro off"


@pytest.fixture
def node(node_root: Path, tmp_path: Path) -> Iterator[NetNode]:
    """One whose init runs our script; its desk is in the same namespace."""
    sshd.skip_where_it_cannot_run()
    with net_node.standing(node_root, tmp_path / "sshd") as found:
        found.inside("mkdir -p /run/nettune; : >/run/nettune/boots").require()
        waited(lambda: "tentative" not in found.inside("ip -6 address").stdout, 10)
        sshd.home(tmp_path, tmp_path / "sshd" / "user", f"[127.0.0.1]:{sshd.PORT} {found.login.pinned}")
        yield found
        found.inside("for pid in $(cat /var/lib/nettune/guard/watcher 2>/dev/null); do kill $pid; done")


def desk(node: NetNode, folder: Path, *words: str) -> Any:  # Any: CompletedProcess
    """A verb as it is typed."""
    return sooner(*words, prefix=_prefix(node, folder))


def _prefix(node: NetNode, folder: Path) -> tuple[str, ...]:
    return ("ip", "netns", "exec", node.host.netns, "env", f"HOME={folder / 'home'}", "COLUMNS=300")


def _words(folder: Path, **settings: str) -> tuple[str, ...]:
    mine = profile(folder, **(settings or SETTINGS))
    of = ("--device", "eno1", "--allow", "guests", "--disruption", "d4")
    return ("apply", mine, "--host", HOST, *of, "--persist", "--probation", "10")


def kept(node: NetNode, folder: Path, *more: str, **settings: str) -> Any:  # Any: CompletedProcess
    """`apply --persist` on eno1."""
    return desk(node, folder, *_words(folder, **settings), *more)


def state(node: NetNode, folder: Path) -> str:
    """How the last change stands."""
    found: str = json.loads(desk(node, folder, "history", HOST, "--json").stdout)[-1]["state"]
    return found


def file(node: NetNode) -> str:
    """/etc/network/interfaces, and whatever lies beside it that should not."""
    beside = [each.name for each in node.file.parent.glob("interfaces.*") if each.name != "interfaces.d"]
    assert beside == []
    return node.file.read_text(encoding="utf-8")


def values(node: NetNode) -> tuple[str, ...]:
    """MTU, queue length, TSO and GRO of eno1."""
    said = node.inside("cat /sys/class/net/eno1/mtu /sys/class/net/eno1/tx_queue_len; ethtool -k eno1").stdout
    offloads = [re.search(rf"^{each}: (on|off)", said, re.MULTILINE) for each in
                ("tcp-segmentation-offload", "generic-receive-offload")]  # fmt: skip
    return (*said.split()[:2], *(each[1] if each else "" for each in offloads))


def boot(node: NetNode, number: int, *, ours: bool = True) -> None:
    """Values are lost, ifupdown2 runs, and then our script."""
    identity = node.root.parent / f"boot-id-{number}"
    identity.write_text(f"00000000-0000-4000-8000-00000000000{number}\n", encoding="utf-8")
    known = f"{node.root}/proc/sys/kernel/random/boot_id"
    node.host.run(Command(("mount", "--bind", str(identity), known))).require()
    node.inside(f"{_LOST}; ifup -a").require()
    if ours:
        node.inside("sh /var/lib/nettune/boot boot").require()


def test_what_ifupdown2_has_an_option_for_is_kept_by_it_and_taken_back_to_the_byte(
    node: NetNode, tmp_path: Path
) -> None:
    """MTU and TSO by its lines, which ifup alone sets; the rest by our script; told before anything is changed."""
    was = values(node)
    dry = kept(node, tmp_path, "--dry-run", "--json")
    untouched = file(node), values(node)
    done = kept(node, tmp_path)
    written, script = file(node), node.inside(f"cat {KEEP}/set").stdout
    boot(node, 1, ours=False)
    by_ifup = values(node)
    node.inside("sh /var/lib/nettune/boot boot").require()
    after = values(node)
    stands = desk(node, tmp_path, "verify", HOST)
    again = kept(node, tmp_path, "--json")
    waited(lambda: state(node, tmp_path) == "kept", 30)
    back = desk(node, tmp_path, "rollback", HOST, "--allow", "guests")

    assert dry.returncode == 0, dry.stderr
    where = {row["fact"]: row["kept_by"] for row in json.loads(dry.stdout)[0]["changes"]}
    assert where["link/eno1/mtu"] == "/etc/network/interfaces: eno1: mtu 1400"
    assert where["feature/eno1/tx-tcp-segmentation"] == "/etc/network/interfaces: eno1: tso-offload off"
    assert {where["feature/eno1/rx-gro"], where["link/eno1/txqlen"]} == {"nettune-boot"}
    assert untouched == (INTERFACES, was)
    assert done.returncode == 0, done.stderr
    assert "kept by" in done.stdout
    assert written == WITH
    assert "mtu" not in script
    assert by_ifup == ("1400", "1000", "off", "off")
    assert after == ("1400", "2000", "off", "on")
    assert stands.returncode == 0, stands.stdout
    assert json.loads(again.stdout)[0]["state"] == "nothing to do"
    assert back.returncode == 0, back.stderr
    assert file(node) == INTERFACES
    assert values(node) == was


def test_who_is_at_work_on_the_file_is_not_disturbed(node: NetNode, tmp_path: Path) -> None:
    """Edits that wait refuse it before anything is changed; one that comes meanwhile leaves it set and not kept."""
    was = values(node)
    pending = node.file.with_name("interfaces.new")
    pending.write_text(f"{INTERFACES}# theirs\n", encoding="utf-8")
    refused = kept(node, tmp_path)
    untouched, waits = (node.file.read_text(encoding="utf-8"), values(node)), pending.read_text(encoding="utf-8")
    pending.unlink()
    desk(node, tmp_path, *[each for each in _words(tmp_path) if each != "--persist"])
    pending.write_text(waits, encoding="utf-8")
    meanwhile = kept(node, tmp_path)
    pending.unlink()
    theirs = file(node), state(node, tmp_path)
    edited = INTERFACES.replace(STANZA, f"{STANZA}    mtu 1500\n    post-up ethtool -K eno1 tso on\n")
    node.file.write_text(edited, encoding="utf-8")
    mended = kept(node, tmp_path)
    written = file(node)
    back = desk(node, tmp_path, "rollback", HOST, "--allow", "guests")

    assert refused.returncode == 3
    assert "interfaces.new is there: edits that somebody made wait to be applied" in " ".join(refused.stderr.split())
    assert untouched == (INTERFACES, was)
    assert waits == f"{INTERFACES}# theirs\n"
    assert meanwhile.returncode == 3
    assert "stands, and is not kept over a boot" in " ".join(meanwhile.stderr.split())
    assert theirs == (INTERFACES, "confirmed")
    assert mended.returncode == 0, mended.stderr
    assert written == edited.replace("    mtu 1500\n", "    mtu 1400\n")  # of TSO their own line has the last word
    assert back.returncode == 0, back.stderr
    assert file(node) == edited


def test_an_edit_of_the_owner_stays_when_it_is_taken_back(node: NetNode, tmp_path: Path) -> None:
    """Written anew as Proxmox VE does, one value changed by hand: our other line goes, theirs stays and is told."""
    kept(node, tmp_path)
    theirs = file(node).replace("\tmtu 1400\n", "    mtu  1350\n") + "# theirs\n"
    node.file.write_text(theirs, encoding="utf-8")
    told = desk(node, tmp_path, "verify", HOST)
    back = desk(node, tmp_path, "rollback", HOST, "--allow", "guests")

    assert told.returncode == 1
    assert "/etc/network/interfaces: mtu 1400 of eno1 is gone, or another" in " ".join(told.stdout.split())
    assert "mtu 1400 of eno1 was edited since, and is left as it is" in " ".join(back.stdout.split())
    assert file(node) == theirs.replace("\ttso-offload off\n", "")


@pytest.mark.sampled(1, "first boot")  # of any host both are in tests/netns/test_lasting
@pytest.mark.parametrize("how", ["link", "early"])
def test_a_first_boot_that_is_not_well_or_ends_early_has_the_old_file_again(
    node: NetNode, tmp_path: Path, how: str
) -> None:
    """By the node alone: the link stays down; the boot ends."""
    was = values(node)
    assert kept(node, tmp_path).returncode == 0
    assert file(node) == WITH
    if how == "link":
        node.inside("ip link set up-eno1 down").require()
    boot(node, 1)
    if how == "early":
        node.inside("kill $(cat /var/lib/nettune/guard/watcher)").require()
        boot(node, 2)
    waited(lambda: node.file.read_text(encoding="utf-8") == INTERFACES, 30)
    node.inside("ip link set up-eno1 up").require()
    waited(lambda: state(node, tmp_path) == "put itself back", 10)
    assert file(node) == INTERFACES
    waited(lambda: values(node)[::2] == was[::2], 5)
    node.inside(_LOST).require()


def test_a_file_that_the_power_kept_from_being_written_is_written_at_boot(node: NetNode, tmp_path: Path) -> None:
    """The values come by our script that once; the command for emergencies takes the lines out."""
    kept(node, tmp_path)
    node.inside(f"rm {KEEP}/interfaces.written; cp {KEEP}/interfaces.before /etc/network/interfaces").require()
    boot(node, 1)
    written, has = file(node), values(node)
    node.inside("kill $(cat /var/lib/nettune/guard/watcher)").require()
    node.inside(f"for each in {KEEP}; do sh ${{each%/keep}}/restore now; done").require()

    assert written == WITH
    assert has == ("1400", "2000", "off", "on")
    assert file(node) == INTERFACES


@pytest.mark.sampled(1)
@pytest.mark.parametrize("step", range(20, 56))
def test_the_file_is_whole_wherever_it_is_cut_short(node: NetNode, tmp_path: Path, step: int) -> None:
    """Killed before each command from the writes on: as it was by the host alone, or by a rollback of what was kept."""
    words = ("-m", "tests.netns.cut_short", str(step), "kill", *_words(tmp_path), "--confirm-within", "5")
    run_program((sys.executable, *words), _prefix(node, tmp_path))
    known = json.loads(desk(node, tmp_path, "history", HOST, "--json").stdout)
    waited(lambda: not known or state(node, tmp_path) != "armed", 20)
    there = file(node)
    if known and state(node, tmp_path) in {"confirmed", "on probation"}:
        back = desk(node, tmp_path, "rollback", HOST, "--allow", "guests")
        assert back.returncode == 0, back.stderr

    assert there in {INTERFACES, WITH}
    assert file(node) == INTERFACES
