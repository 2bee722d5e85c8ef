"""The namespace lab's own tests inside one guest: VLANs, bonds, netem and fq on Debian's kernel, whatever this one has.

The guest gets this checkout and the Python packages that run it as one more read-only disk.
"""

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.labs import qemu
from bench.labs.guests import Guests
from tests.conftest import dealt
from tests.netns.test_lab import PATHS
from tests.vm.kit import kit, leases

ROOT = Path(__file__).resolve().parent.parent.parent
TREES = ("bench", "nettune", "profiles", "results", "tests", "tuning", "pyproject.toml")
LARGE = ("matplotlib", "mypy", "numpy", "pandas", "pyarrow", "ruff", "scipy", "uv")  # of which these tests import none
MODULES = ("veth", "bridge", "br_netfilter", "8021q", "bonding", "sch_netem", "sch_fq", "sch_tbf", "nf_tables",
           "nft_chain_nat", "nft_masq", "nft_ct", "nf_conntrack", "dummy", "tcp_bbr")  # fmt: skip
INSIDE = "/mnt/nettune"
# What this machine may be unable to run. One start of pytest takes 20 s on an emulated CPU, so they share one.
LACKED = ("vlan", "bond", "delay")
OPTIONS_OF_A_BOND = "hash and link watch of a bond"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A guest with two CPUs, the modules of a node loaded and the checkout mounted."""
    folder = tmp_path_factory.mktemp("inside")
    disk = folder / "checkout.squashfs"
    packages = sysconfig.get_paths()["purelib"]
    argv = ("mksquashfs", packages, *(str(ROOT / name) for name in TREES), str(disk), "-noappend", "-comp", "lz4",
            "-no-progress", "-quiet", "-e", *LARGE)  # fmt: skip
    Local().run(Command(argv, deadline_s=120.0)).require()
    made = kit(Guests(cpus=2, memory_mb=1024))
    version = made.image.packages.get("python3", "")
    if not version.startswith(f"{sys.version_info.major}.{sys.version_info.minor}."):
        pytest.skip(f"the guest's Python is {version}: compiled packages of {sys.version.split()[0]} do not run there")
    with qemu.alone(made, leases_folder=leases(folder), drives=(disk,)) as host:
        for command in (
            Command(("modprobe", "-a", *MODULES), deadline_s=60.0),
            Command(("mkdir", "-p", INSIDE)),
            Command(("mount", "-o", "ro", "-t", "squashfs", "/dev/vdc", INSIDE)),
        ):
            host.run(command).require()
        yield host


def chosen(*, whole: bool) -> list[str]:
    """The tests to run inside: LACP, delay, of VLANs and the other bonds two each, or all; undo of bonds' options."""
    kinds = [[each.name for each in PATHS if word in each.name] for word in LACKED]
    names = [name for kind in kinds for name in (kind if whole or len(kind) < 2 else dealt(kind, 2, "inside"))]
    names += [name for name in kinds[1] if "802.3ad" in name]
    file = "tests/netns/test_lab.py"
    each_path = f"{file}::test_every_topology_carries_traffic_over_its_own_devices"
    return [
        f"{file}::test_lacp_without_a_partner_is_no_lab",
        *(f"{each_path}[{name}]" for name in dict.fromkeys(names)),
        f"tests/netns/test_undo.py::test_everything_is_as_it_was_on_every_path[{OPTIONS_OF_A_BOND}]",
    ]


def test_paths_that_this_kernel_may_lack_run_in_a_guest(node: Host, request: pytest.FixtureRequest) -> None:
    """Kinds of VLAN, modes and options of bonds, the traffic on the right devices, delay and loss; none skipped."""
    environment = (f"PYTHONPATH={INSIDE}:{INSIDE}/site-packages", "CI=true", "PYTHONDONTWRITEBYTECODE=1", "HOME=/tmp")
    tests = chosen(whole=request.config.getoption("whole"))
    argv = ("env", "-C", INSIDE, *environment, "python3", "-P", "-m", "pytest", "-q", "-p", "no:cacheprovider",
            "--durations=5", *tests)  # fmt: skip
    done = node.run(Command(argv, deadline_s=900.0))

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout, done.stdout[-3000:]
