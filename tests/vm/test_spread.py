"""How flows are spread over queues (RSS), by a NIC whose driver begins anew: a guest with QEMU's vmxnet3, over SSH.

vmxnet3 fills its table anew whenever it is activated: by other rings, by another MTU (vmxnet3_setup_driver_shared).
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.hosts.local import Local
from bench.images import cache
from nettune.places import places
from tests.netns import sshd
from tests.netns.nettune_command import sooner
from tests.netns.test_apply import profile
from tests.vm.booted import MANAGEMENT, Guest, booted, keys

NIC = "52:54:00:6e:74:03"


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """It, with two CPUs and so two queues."""
    folder = tmp_path_factory.mktemp("spread")
    nics = f"{MANAGEMENT} mgmt0 10.0.2.15/24\n{NIC} eth0 192.0.2.1/24\n"
    more = ("-smp", "2", "-netdev", "hubport,id=v,hubid=9", "-device", f"vmxnet3,netdev=v,mac={NIC}")
    image = cache.built(places().cache, Local(), print)
    with booted(image, folder, {**keys(folder), "etc/nettune/nics": nics.encode()}, more=more) as made:
        sshd.home(folder, folder / "user", (folder / "known_hosts").read_text(encoding="utf-8"))
        yield made


def desk(guest: Guest, verb: str, *words: str) -> Any:  # Any: CompletedProcess
    """The verb, by a user whose ssh knows the guest."""
    return sooner(verb, *words, prefix=("env", f"HOME={guest.folder / 'home'}", "COLUMNS=200"))


@pytest.mark.sampled(1)  # an emulated guest takes half a minute for each
def test_a_table_that_a_reset_took_is_told_with_what_sets_it_again(guest: Guest, tmp_path: Path) -> None:
    """A reset that is nobody's change: verify names the cause, and finds nothing once that was typed."""
    word = _chosen(guest)
    first = desk(guest, "apply", profile(tmp_path, txqueuelen="2000"), "--host", word, "--device", "eth0")
    guest.ssh("ip link set eth0 mtu 1400 && ip link set eth0 mtu 1500")
    reset = desk(guest, "verify", word)
    (command,) = re.findall("`(.*)`", reset.stdout)
    guest.ssh(command)
    again = desk(guest, "verify", word)

    assert (first.returncode, reset.returncode) == (0, 1), first.stderr
    assert "rss/eth0/table: reads 'default', before was 'equal 1': eth0's driver was reset" in reset.stdout
    assert command == "ethtool -X eth0 equal 1"
    assert again.returncode == 0, again.stdout


@pytest.mark.sampled(1)
def test_a_table_that_a_change_itself_took_is_set_again(guest: Guest, tmp_path: Path) -> None:
    """Other rings: it stands after apply, and after the rollback, by which the driver begins anew once more."""
    word = _chosen(guest)
    guest.ssh("ethtool -G eth0 rx 1536")
    begun_anew = _first_row(guest)
    _chosen(guest)
    mine = profile(tmp_path, **{"rx-ring": "2048"})
    ring = desk(guest, "apply", mine, "--host", word, "--device", "eth0", "--disruption", "d3")
    stands, rings = _first_row(guest), guest.ssh("ethtool -g eth0").stdout
    back = desk(guest, "rollback", word)

    assert ring.returncode == 0, ring.stderr
    assert begun_anew == {"0", "1"}
    assert (stands, re.findall(r"^RX:\s+(\d+)", rings, re.MULTILINE)) == ({"0"}, ["4096", "2048"])
    assert back.returncode == 0, back.stderr
    assert _first_row(guest) == {"0"}


def _chosen(guest: Guest) -> str:
    """Somebody has all flows on the first queue; the guest as nettune names it."""
    chosen = guest.ssh("ethtool -X eth0 equal 1")
    assert chosen.ok, chosen.stderr
    return f"ssh://root@127.0.0.1:{guest.port}"


def _first_row(guest: Guest) -> set[str]:
    """The queues in it."""
    row = guest.ssh("ethtool -x eth0").stdout.splitlines()[1]
    return set(row.split()[1:])
