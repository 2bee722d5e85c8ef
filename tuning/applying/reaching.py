"""Whom packets of the whole MTU reach, before a change and after it: an MTU too large for a switch is a black hole.

Small packets pass there, logins too, and nothing else. Asked are the gateways, and whoever is reached over a device
that is changed: storage, other nodes' rings, neighbours. Who answers no ping before a change counts for nothing.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bench.facts.roles import GUEST_KINDS
from bench.facts.scope import device_of
from bench.hosts.command import Command
from bench.hosts.host import Host
from tuning.applying.planning import Planned

AGAIN_S = 5.0  # for a switch that forwards late, and an echo that is lost
_MOST = 64  # peers; on a large network its neighbours are no less well for being asked by few
_SEEN = frozenset({"REACHABLE", "STALE", "DELAY", "PROBE"})
# A line for each that answers: ADDRESS MTU WORD. The MTU is that of the device that leads there; the word says whether
# packets of that size are answered too ("full"), or that somebody on the way, or our own path MTU, tells another
# ("told"). IPv4 and ICMP take 28 bytes of an MTU, IPv6 48.
_ASKED = """\
for peer; do
  device=$(ip route get "${peer%%%*}" 2>/dev/null | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p')
  case $peer in *%*) device=${peer#*%} head=48 ;; *:*) head=48 ;; *) head=28 ;; esac
  {
    read -r mtu <"/sys/class/net/$device/mtu" || exit
    ping -n -c 2 -i 0.2 -W 1 "$peer" >/dev/null 2>&1 || exit
    word=small
    if said=$(ping -n -c 2 -i 0.2 -W 1 -M do -s "$((mtu - head))" "$peer" 2>&1); then word=full
    else case $said in *mtu=*|*mtu\\ =*) word=told ;; esac
    fi
    echo "$peer $mtu $word"
  } &
done
wait
true
"""
# The MSS that a new connection takes on, as ADDRESS MSS; nothing of who listens on none of these ports.
_SEGMENTS = """\
command -v bash >/dev/null || exit 0
for peer; do
  for port in 22 2049 3260 3300 6789 445 8006; do
    timeout 2 bash -c 'exec 3<>"/dev/tcp/$1/$2" || exit
      said=$(ss -Htinp "dport = :$2" | grep -A 1 "pid=$$," | grep -o "[ \t]mss:[0-9]*") && echo "$1 ${said##*:}"
    ' bash "$peer" "$port" 2>/dev/null && break
  done &
done
wait
true
"""
_HEADERS = 100  # what an MTU has more than an MSS: 40 of IPv4, 60 of IPv6, 12 of timestamps


@dataclass(frozen=True, slots=True)
class Reached:
    """`mtu`: of the device that leads there. `word`: full, small, or told (see _ASKED)."""

    mtu: int
    word: str


def peers(planned: Planned) -> tuple[str, ...]:
    """Whoever is reached over a device that may be disturbed, or over one above it; guests of the host itself not."""
    changed = {device_of(row.change.key) for row in planned.rows if row.disruption >= "d2"} - {""}
    if not changed:
        return ()
    links, stack = planned.riding.stack.links, planned.riding.stack
    over = {each for device in changed for each in (device, *stack.above(device))}
    near, taken = planned.host.run_all(
        (Command(("ip", "-j", "neigh", "show")), Command(("bridge", "-j", "fdb", "show")))
    )
    guests = {str(row.get("mac")) for row in json.loads(taken.stdout or "[]")
              if (port := links.get(str(row.get("ifname")))) and port.kind in GUEST_KINDS and port.master}  # fmt: skip
    found = [address for address, device in planned.riding.peers if device in over]
    found += [
        str(row["dst"])
        for row in json.loads(near.stdout or "[]")
        if row.get("dev") in over and _SEEN & set(row.get("state", ())) and row.get("lladdr") not in guests
        and not str(row["dst"]).startswith("fe80:")
    ]  # fmt: skip
    return tuple(dict.fromkeys(found))[:_MOST]


def asked(host: Host, addresses: Collection[str]) -> Mapping[str, Reached]:
    """Those of them that answer a ping now."""
    if not addresses:
        return {}
    told = host.run(Command(("sh", "-c", _ASKED, "sh", *addresses), deadline_s=60.0)).require().stdout
    return {peer: Reached(int(mtu), word) for peer, mtu, word in (line.split() for line in told.splitlines())}


def lost(host: Host, before: Mapping[str, Reached], gateways: Sequence[str]) -> tuple[str, ...]:
    """Who was reached by packets of the whole MTU and is not by those of today's, in words.

    No black hole is where the MTU has grown and the other end itself has a smaller one, or a router says so: TCP takes
    that. A gateway has to take what it is sent.
    """
    before = {peer: was for peer, was in before.items() if was.word == "full"}
    now = asked(host, before)
    gone = [peer for peer in before if peer not in now or now[peer].word != "full"]
    grown = [peer for peer in gone if peer not in gateways and peer in now and now[peer].mtu > before[peer].mtu]
    smaller = _smaller(host, {peer: now[peer].mtu for peer in grown if now[peer].word != "told"})
    well = {peer for peer in grown if now[peer].word == "told" or peer in smaller}
    return tuple(
        f"{peer} no longer answers" if peer not in now else
        f"packets of the whole MTU ({now[peer].mtu}) no longer reach {peer}"
        for peer in sorted(gone) if peer not in well
    )  # fmt: skip


def _smaller(host: Host, mtus: Mapping[str, int]) -> frozenset[str]:
    """Those that take segments of less than that MTU: their own is smaller."""
    if not mtus:
        return frozenset()
    told = host.run(Command(("sh", "-c", _SEGMENTS, "sh", *mtus), deadline_s=60.0)).require().stdout
    return frozenset(peer for peer, mss in (line.split() for line in told.splitlines())
                     if int(mss) + _HEADERS < mtus[peer])  # fmt: skip
