"""`nettune offload validate` of machines that stand, where it cannot: what is said, and that nothing is touched.

And what a kill in mid-exchange leaves on them: nothing that still runs, and the NIC as it was found.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.facts.sheet import differences
from bench.hosts.command import Command
from bench.hosts.namespace import Namespace
from tests.netns.nettune_command import nettune, start
from tests.netns.standing_hosts import Machines, guards, tso, waited

LEVELS = ("--levels", "1,2,3,7", "--features", "tso", "--set", "lab.grace_s=1")


@contextlib.contextmanager
def _without(host: Namespace, tool: str) -> Iterator[None]:
    """A machine that has not got a tool."""
    places = host.run(Command(("sh", "-c", 'which -a "$1"', "sh", tool))).require().stdout.split()
    for place in places:
        host.run(Command(("mount", "--bind", "/dev/null", place))).require()
    try:
        yield
    finally:
        for place in reversed(places):
            host.run(Command(("umount", place))).require()


@contextlib.contextmanager
def _link(host: Namespace, device: str, spoilt: str, well: str) -> Iterator[None]:
    """A link that is otherwise for a while: `ip link set` with these words."""
    host.run(Command(("ip", "link", "set", device, *spoilt.split()))).require()
    try:
        yield
    finally:
        host.run(Command(("ip", "link", "set", device, *well.split()))).require()


def _refused(machines: Machines, *words: str, said: str, code: int = 3, **changed: str) -> None:
    """One error in words; both machines are as they were, and no guard waits."""
    before = machines.facts("a", "b")
    done = nettune("offload", "validate", "--inventory", str(machines.inventory(**changed)), *LEVELS, *words,
                   prefix=machines.prefix)  # fmt: skip

    assert (done.returncode, said in " ".join(done.stderr.split())) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert differences(before, machines.facts("a", "b")) == ()
    assert [guards(host) for host in machines.both] == [[], []]


def test_a_device_that_is_not_there_is_told(machines: Machines, state: Path) -> None:
    """In the inventory, and on the command line, with those that are on the path."""
    _refused(machines, device="eth9", said="on a:")
    _refused(machines, "--pair", "a.eth9,b.eth0", code=2, said="'eth9' is not on the path of standing")


def test_a_link_that_is_down_or_without_carrier_is_told(machines: Machines, state: Path) -> None:
    """Of either end, by its device."""
    with _link(machines.node, "port-b", "down", "up"):
        time.sleep(0.3)  # its partner's carrier follows a moment later
        _refused(machines, said="on b: eth0")


def test_another_mtu_at_one_end_is_told(machines: Machines, state: Path) -> None:
    """Where the plan says what the path has, and one end has not."""
    with _link(machines.b, "eth0", "mtu 1400", "mtu 1500"):
        _refused(machines, said="on b: the plan's path has an MTU of 1500, and eth0 has 1400")


@pytest.mark.sampled(1, "tools")
@pytest.mark.parametrize(("tool", "words"), [("ethtool", ()), ("iperf3", ("--levels", "2,5")),
                                             ("irtt", ("--levels", "2,5"))])  # fmt: skip
def test_a_partner_without_a_tool_is_told_before_anything_is_toggled(
    machines: Machines, state: Path, tool: str, words: tuple[str, ...]
) -> None:
    """What benefit alone needs too, though it is measured last."""
    before = machines.facts()
    inventory = str(machines.inventory())
    with _without(machines.b, tool):
        done = nettune("offload", "validate", "--inventory", inventory, *LEVELS, *words, prefix=machines.prefix)

    assert done.returncode == 3
    assert "on b: " in done.stderr
    assert tool in done.stderr
    assert "tx-tcp-segmentation off" not in done.stderr
    assert differences(before, machines.facts()) == ()
    assert [guards(host) for host in machines.both] == [[], []]


def _running(host: Namespace) -> str:
    """What listens on the exchange's ports, or is connected to them; not what TCP still waits for (a minute)."""
    ours = "( sport >= :20000 and sport < :32000 )"
    return host.run(Command(("ss", "-Htna", "exclude", "time-wait", ours))).require().stdout


def test_a_kill_in_mid_exchange_leaves_nothing_that_runs_and_the_nic_as_it_was(machines: Machines, state: Path) -> None:
    """TSO is off and payload under way: the machine puts TSO back, and the programs at both ends end."""
    before = machines.facts()
    job = start("offload", "validate", "--inventory", str(machines.inventory()), *LEVELS, "--payload-mb", "300",
                prefix=machines.prefix)  # fmt: skip
    try:
        waited(lambda: (tso(machines.a) == "off" and bool(_running(machines.b))) or job.poll() is not None, 120)
        os.killpg(job.pid, signal.SIGKILL)
        out, err = job.communicate()
        assert tso(machines.a) == "off", out + err
        by_hand = machines.a.run(Command(("sh", f"/var/lib/nettune/guard/{guards(machines.a)[0]}/restore", "now")))
        waited(lambda: not (_running(machines.a) or _running(machines.b)), 60)
        waited(lambda: differences(before, machines.facts()) == (), 10)
    finally:
        for host in machines.both:
            host.run(Command(("sh", "-c", "rm -rf /var/lib/nettune")))

    assert by_hand.returncode == 0
