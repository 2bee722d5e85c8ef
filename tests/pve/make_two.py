"""Two VMs made and removed, by a process of its own that SIGKILL ends right before, or right after, its n-th request.

python -m tests.pve.make_two PORT FOLDER N before|after SOURCE
"""

import sys
from pathlib import Path

from bench.pve.access import Access
from bench.pve.client import Client
from bench.pve.deploying import deployed
from bench.pve.wire import Https
from tests.pve.faults import Mortal, wanted

port, folder, at, when, source = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
access = Access("127.0.0.1", "root@pam", "secret", port, ca_file=str(folder / "fakepve.crt"))

client = Client(Mortal(Https(access), at, when), sleep=lambda _: None)
with deployed(client, wanted(source), leases_folder=folder / "leases", cluster=folder / "pve.yaml", at_once=1):
    pass
