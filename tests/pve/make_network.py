"""A network made and removed, by a process of its own that SIGKILL ends right before, or right after, its n-th request.

python -m tests.pve.make_network PORT FOLDER N before|after NETNS bridge|vnet
"""

import functools
import sys
from pathlib import Path

from bench.hosts.login import Login
from bench.hosts.ssh import connected
from bench.pve import networks, reloading
from bench.pve.access import Access
from bench.pve.bridges import Wanted
from bench.pve.client import Client
from bench.pve.networks import Way
from bench.pve.new_network import NewNetwork
from bench.pve.vnets import Vnet
from bench.pve.wire import Https
from tests.pve.faults import Mortal
from tests.pve.net_node import NODE, dialer
from tuning.network_guards import NetworkGuards

port, folder, at = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
when, netns, what = sys.argv[4:7]
access = Access("127.0.0.1", "root@pam", "secret", port, ca_file=str(folder / "fakepve.crt"))
key = folder / "sshd/user"
login = Login("127.0.0.1", 2222, keys=(key,), pinned=(folder / "sshd/host.pub").read_text(encoding="utf-8"))
# The test's own namespace has no way to the node's.
setattr(reloading, "connected", functools.partial(connected, dial=dialer(netns)))  # noqa: B010

way = Way(Client(Mortal(Https(access), at, when), sleep=lambda _: None), {NODE: login}, NetworkGuards())
of = Vnet("nttest0", NewNetwork(zone="simple"), 1500) if what == "vnet" else (
    Wanted(NODE, "vmbr901", NewNetwork(ports=("eno3",)), 1500))  # fmt: skip
with networks.standing(way, [of], leases_folder=folder / "leases", cluster=folder / "pve.yaml"):
    pass
