"""`nettune offload validate` with a plan of Proxmox VE: the pair is two VMs that are made for it.

The API is the double's; behind its VMs are namespaces with an sshd each, so that the NIC is a veth.
"""

import json

from tests.pve.standing import Cluster


def test_the_nics_of_two_vms_are_validated(cluster: Cluster) -> None:
    """By the same words as any plan's; nothing is left of the VMs."""
    done = cluster.run("offload", "validate", cluster.plan(), "--levels", "1,2,3,4,7", "--features", "tso", "--json",
                       *cluster.store)  # fmt: skip

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {row["feature"]: row["verdict"] for row in found["features"]}["tx-tcp-segmentation"] == "works"
    assert {each["level"]: each["outcome"] for each in found["levels"]}["restored"] == "ok"
    assert len(cluster.guests.seen) == 2
    assert cluster.double.tell("guests").keys() == {"100", "9000", "9001"}
