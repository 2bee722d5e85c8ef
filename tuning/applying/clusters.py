"""Between two nodes of one cluster: quorum is whole and HA has nothing to mend, or the next one is not touched.

And never two at once, whoever changes them: a node is claimed in the cluster's own file system. ADR 0040.
"""

import contextlib
import math
import time

from bench.facts import cluster
from bench.hosts.command import Command, HostFault
from bench.hosts.host import Host
from results.errors import NotAble
from tuning.guard import ROOT

WAITED_S = 60.0  # for corosync to count a node again (token and consensus: 5 s at most by default) and for HA to settle
_EVERY_S = 1.0
PVE = "/etc/pve"
# A claim outlives its guard: that is armed later, and undoing takes its time; and the clocks of nodes differ.
_MARGIN_S = 120
# $1 /etc/pve, $2 seconds, $3 the margin, $4 where guards lie. `mkdir` and `rmdir` there happen in one order on all
# nodes (pmxcfs), and are refused without quorum. A claim is a directory in the one that is the lock: NODE.FROM.UNTIL,
# in seconds since the epoch. A lock without a claim may be taken away by anybody; so of two claims that meet in one the
# later goes, and who made it sees both.
_CLAIM = """\
[ -e "$1/corosync.conf" ] || exit 0
lock=$1/priv/nettune now=$(date +%s) node=$(uname -n); node=${node%%.*}
if ! mkdir "$lock" 2>/dev/null; then
  [ -d "$lock" ] || { echo "$lock cannot be made: has the cluster quorum?"; exit 1; }
  for claim in "$lock"/*; do
    [ -d "$claim" ] || continue
    name=${claim##*/}; until=${name##*.} rest=${name%.*}; from=${rest##*.} of=${rest%.*}
    over=; [ "$now" -le "$until" ] || over=yes
    # Its own, of a change that the node has put back alone.
    if [ "$of" = "$node" ] && [ "$now" -gt "$((from + $3))" ]; then
      over=yes; for armed in "$4"/*/deadline; do [ ! -e "$armed" ] || over=; done
    fi
    [ -n "$over" ] || { echo "$of is being changed, for at most $((until - now)) s more"; exit 1; }
    rmdir "$claim" 2>/dev/null
  done
  rmdir "$lock" 2>/dev/null
  mkdir "$lock" 2>/dev/null || { echo "another node was claimed at this moment, or there is no quorum"; exit 1; }
fi
mine=$lock/$node.$now.$((now + $2 + $3))
mkdir "$mine" 2>/dev/null || { echo "it cannot be claimed: another came first, or there is no quorum"; exit 1; }
for claim in "$lock"/*; do
  [ "$claim" = "$mine" ] || { rmdir "$mine"; echo "another node was claimed at this moment"; exit 1; }
done
"""
# $1 /etc/pve: what this node has claimed.
_RELEASE = """\
lock=$1/priv/nettune node=$(uname -n); node=${node%%.*}
for claim in "$lock/$node".*; do [ ! -d "$claim" ] || { rmdir "$claim" && rmdir "$lock"; } 2>/dev/null; done
true
"""


class ClusterNotWell(NotAble):
    """A cluster that must not lose another node now."""


def claim(host: Host, seconds: float, pve: str = PVE, *, emergency: str = "") -> None:
    """No other node of its cluster may be changed for so long. Raises ClusterNotWell where one is, or without quorum.

    Where the host is in no cluster of Proxmox VE nothing is claimed. `emergency`: what does without, for the hint.
    """
    words = ("sh", "-c", _CLAIM, "sh", pve, str(math.ceil(seconds)), str(_MARGIN_S), ROOT)
    outcome = host.run(Command(words, deadline_s=60.0))
    if not outcome.ok:
        raise ClusterNotWell(
            f"on {host.name}: nothing was changed: {(outcome.stdout or outcome.stderr).strip()}",
            hint="; ".join(
                filter(None, ("never two nodes of one cluster at once: wait for the other, or confirm it", emergency))
            ),
        )


def release(host: Host, pve: str = PVE) -> None:
    """Other nodes may be changed again. Where it cannot be said (no quorum) the claim ends by itself."""
    with contextlib.suppress(HostFault):
        host.run(Command(("sh", "-c", _RELEASE, "sh", pve), deadline_s=60.0))


def well(host: Host, *, within_s: float = WAITED_S) -> bool:
    """Wait until the host's cluster is well; False where it is in none. Raises ClusterNotWell naming what is not."""
    until = time.monotonic() + within_s
    while True:
        found = cluster.health(host.run(cluster.HEALTH).require().stdout)
        if not found.problems:
            return found.member
        if found.stays or time.monotonic() >= until:
            waited = f" after {within_s:g} s" if within_s and not found.stays else ""
            raise ClusterNotWell(
                f"on {host.name}: its cluster is not well{waited}: {'; '.join(found.problems)}",
                hint="pvecm status and ha-manager status; one node at a time, and only while all others stand",
            )
        time.sleep(_EVERY_S)
