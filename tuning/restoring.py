"""The script that puts one host back, alone: POSIX sh, with the originals in it. Pure; tuning/guard.py arms it.

It waits for its deadline, takes the host's lock, and runs every undo though another failed; its log has each line with
its exit code. `sh restore now` does not wait; `sh restore look` tells whether the host is well; `sh
restore files` puts back what a boot did not, and `boot` does so once. Nothing is
compared afterwards: whoever comes next does that.
"""

import itertools
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

from bench.facts import cpus
from bench.facts.scope import device_of
from bench.facts.sheet import Difference, FactSheet
from bench.facts.state import device_path, sysctl_path
from bench.hosts.command import Command
from tuning.knobs.coalescing import SWITCHES, Coalescing
from tuning.knobs.feature import Feature
from tuning.knobs.knob import Change
from tuning.knobs.table import BY_ITSELF, owner
from tuning.surroundings import SIZES, repairs

Explains = Callable[[Difference], bool]
PATIENCE_S = 10  # a link that a driver resets comes back sooner

# Of the lines of `undoing`; $folder has the log. A disk that takes no log any more (it is full, or failed and was made
# read-only) must not keep a host from being put back: a redirection that fails would.
FUNCTIONS = """\
logged() { log=$folder/log; (: >>"$log") 2>/dev/null || log=/dev/null; }
try() { logged; (eval "$1") >>"$log" 2>&1; code=$?; echo "exit $code: $1" >>"$log"; [ "$code" = 0 ] || failed=yes; }
differs() {
  [ -e "$1" ] || return 1
  wanted=$2; set -- $(cat "$1")
  [ "$*" != "$wanted" ]
}
sized() { ip -d link show dev "$1" | grep -Eq " $2 $3"'( |$)'; }
# Before a leg of a bond is touched, the others that carried at first carry again, which takes seconds, with LACP more.
# A leg that does not come back is waited for 30 s, and the log says so.
carries() {
  [ "$(cat "/sys/class/net/$1/carrier" 2>/dev/null)" = 1 ] || return 1
  mii=$(cat "/sys/class/net/$1/bonding_slave/mii_status" 2>/dev/null)
  [ -n "$mii" ] || { ovs-appctl --timeout=5 bond/show 2>/dev/null | grep -Eq "^(member|slave) $1: enabled"; return; }
  [ "$mii" = up ] || return 1
  port=$(cat "/sys/class/net/$1/bonding_slave/ad_actor_oper_port_state" 2>/dev/null)
  case $port in ''|*[!0-9]*) ;; *) [ "$((port & 48))" = 48 ] ;; esac # with LACP: collecting and distributing
}
legs_of() { # of the bond that $1 is a leg of: Open vSwitch's is no device of the kernel
  bond=/sys/class/net/$1/master
  case $(readlink "$bond") in ''|*/ovs-system) ;; *) cat "$bond/bonding/slaves" 2>/dev/null; return ;; esac
  ovs-appctl --timeout=5 bond/list 2>/dev/null | sed 's/.*\t/ /; s/,//g; s/$/ /' | grep -F " $1 "
}
apart() {
  legs=$(legs_of "$1") || return 0
  for leg in $legs; do
    case " $known_legs " in *" $leg "*) continue ;; esac
    known_legs="$known_legs $leg"
    ! carries "$leg" || up_first="$up_first $leg"
  done
  [ "${touched:-$1}" = "$1" ] || sleep 1 # until a NIC that is started anew says so
  touched=$1 tries=0
  for leg in $legs; do
    case " $up_first " in *" $leg "*) ;; *) continue ;; esac
    [ "$leg" != "$1" ] || continue
    until carries "$leg" || [ "$tries" -ge 30 ]; do sleep 1; tries=$((tries + 1)); done
    carries "$leg" || { logged; echo "$leg does not carry, and $1 is touched all the same" >>"$log"; }
  done
}
lacks() { ! ip route show table all | sed 's/ expires [^ ]*//; s/ *$//' | grep -Fxq -- "$1"; }
"""
# $1 ADDRESS%DEVICE: whether a neighbour answers ARP or a solicitation now. Of one that is gone `use` asks anew.
NEIGHBOUR = """\
neighbour() {
  case $(ip neigh show to "${1%%%*}" dev "${1#*%}" 2>/dev/null) in *PERMANENT*|*NOARP*) return 0 ;; esac
  ip neigh change "${1%%%*}" dev "${1#*%}" nud probe 2>/dev/null ||
    ip neigh replace "${1%%%*}" dev "${1#*%}" use 2>/dev/null
  sleep 1
  case $(ip neigh show to "${1%%%*}" dev "${1#*%}" 2>/dev/null) in *REACHABLE*) ;; *) return 1 ;; esac
}
"""
ROLLBACK = "# nettune rollback: "  # the second line of a script that takes a confirmed change back: its id follows
_HERE = "@files@\n"
# `boot` is what the unit runs that guard.ARM puts in place. /etc/pve takes nothing before the cluster has quorum: what
# fails is tried for a minute, and left to the next boot or the next nettune.
_FILES = """\
put() {{
:
{}
}}
if [ "${{1:-}}" = files ]; then # after a boot, which has undone all else
failed=
put
[ -z "$failed" ]
exit
fi
if [ "${{1:-}}" = boot ]; then
  read -r this </proc/sys/kernel/random/boot_id
  [ "$(cat "$folder/boot")" != "$this" ] || exit 0
  tries=0
  while :; do
    exec 9<"$root/lock" && flock -w 60 9
    [ ! -e "$folder/restored" ] && {{ [ -e "$folder/deadline" ] || [ -e "$folder/restoring" ]; }} || break
    failed=
    put
    if [ -z "$failed" ]; then
      : >"$folder/restored"
      rm -f "$folder/deadline"
      sync "$folder/restored" "$folder"
      break
    fi
    exec 9>&- # what is kept over boots is set meanwhile, under the same lock
    tries=$((tries + 1))
    [ "$tries" -lt 12 ] || exit 1
    sleep 5
  done
  rm -f "$unit" "$wants"
  exit 0
fi
"""
UNITS = "/etc/systemd/system"
# Uptime, not the clock: a host whose time is set meanwhile must not wait for hours, nor restore in mid-trial.
# $0 is the file itself, in its own folder; the lock lies beside that.
_BEFORE = (
    """\
#!/bin/sh
# nettune guard: puts back what a treatment changed on this host. By hand, at any time: sh THIS-FILE now
folder=${0%/*} root=${0%/*/*}
unit=@units@/nettune-guard-${folder##*/}-boot.service
wants=@units@/multi-user.target.wants/${unit##*/}
export PATH="$PATH:/usr/sbin:/usr/bin:/sbin:/bin" LC_ALL=C
set -f
due() {
  deadline=0  # of a restoring that was cut short
  [ -e "$folder/deadline" ] || [ -e "$folder/restoring" ] || exit 0
  { read -r deadline <"$folder/deadline"; } 2>/dev/null
  read -r now rest </proc/uptime
  left=$((${deadline:-0} - ${now%.*}))
}
"""
    + FUNCTIONS
    + NEIGHBOUR
    + """\
well() {
  for look in $looks; do
    what=${look#*:}
    case $look in
    carrier:*)
      up=; { read -r up <"/sys/class/net/$what/carrier"; } 2>/dev/null
      [ "$up" = 1 ] || { ill="$what has no carrier"; return 1; } ;;
    lacp:*)
      partner=; { read -r partner <"/sys/class/net/$what/bonding_slave/ad_partner_oper_port_state"; } 2>/dev/null
      up=; { read -r up <"/sys/class/net/$what/carrier"; } 2>/dev/null
      case $partner in ''|*[!0-9]*) partner=0 ;; esac # "N/A" would end the shell
      # in synchronization, collecting, distributing (IEEE 802.1AX, 6.4.2.3)
      [ "$up" = 1 ] && [ "$((partner & 56))" = 56 ] || { ill="$what has no LACP partner"; return 1; } ;;
    ping:*) ping -n -c 1 -i 0.2 -w 1 "$what" >/dev/null 2>&1 || { ill="$what does not answer"; return 1; } ;;
    neigh:*) neighbour "$what" || { ill="$what does not answer"; return 1; } ;;
    quorum)
      timeout 1 corosync-quorumtool -s 2>/dev/null | grep -q '^Quorate:[[:space:]]*Yes' ||
        { ill="corosync has no quorum"; return 1; } ;;
    listen:*) [ -n "$(ss -Hltn "sport = :$what")" ] || { ill="nothing listens on port $what"; return 1; } ;;
    esac
  done
}
@files@
[ "${1:-}" != look ] || { well || { echo "$ill"; exit 1; }; exit 0; }
logged
early= since=
if [ "${1:-}" != now ]; then
  echo -900 2>/dev/null >/proc/self/oom_score_adj
  echo "$$" >"$folder/watcher"
  due
  while [ "$left" -gt 0 ] && [ -z "$early" ]; do
    sleep 1
    if well; then
      since=
    else
      read -r now rest </proc/uptime
      since=${since:-${now%.*}}
      [ "$((${now%.*} - since))" -lt "$patience" ] || { early=yes; echo "early: $ill" >>"$log"; }
    fi
    due
  done
fi
locked=
[ -e "$root/lock" ] || (: >>"$root/lock") 2>/dev/null
[ ! -r "$root/lock" ] || { exec 9<"$root/lock"; flock -w 60 9 && locked=yes; }
logged
[ -n "$locked" ] || echo "the lock was not to be had in 60 s" >>"$log"
[ ! -e "$folder/restored" ] || exit 0
if [ "${1:-}" != now ]; then
  due
  [ "$left" -le 0 ] || [ -n "$early" ] || exec /bin/sh "$0" 9>&-
fi
# Who has the lock and finds a restoring that is not over knows that whoever did it is dead: every line may run twice.
# A deadline that is still there though it cannot be moved was taken by nobody: its disk takes no writes.
mv "$folder/deadline" "$folder/restoring" 2>/dev/null || [ "${1:-}" = now ] || [ -e "$folder/deadline" ] ||
  { [ -n "$locked" ] && [ -e "$folder/restoring" ]; } || exit 0
read -r now rest </proc/uptime
echo "began at uptime $now" >>"$log"
"""
)
_AFTER = """\
logged
read -r now rest </proc/uptime
echo "ended at uptime $now" >>"$log"
# What is kept over boots (tuning/applying/lasting.sh) would set it again: that takes the lock itself.
exec 9>&-
[ ! -e "$root/$of/keep/sequence" ] || /bin/sh "${root%/*}/boot" unkeep "$of" >>"$log" 2>&1
[ "$of" = "${folder##*/}" ] || { mv "$root/$of/confirmed" "$root/$of/rolled-back" && sync "$root/$of"; } 2>>"$log"
: >"$folder/restored"
sync
rm -f "$unit" "$wants" 2>/dev/null
"""


def script(
    lines: Iterable[str], about: str = "", looks: Iterable[str] = (), files: Sequence[str] = (), of: str = ""
) -> str:
    """The whole file, from `undoing`'s lines; `about` is a comment on its second line.

    `files` are those of the lines whose settings outlive a boot: `sh restore files` runs them alone, and so does the
    next boot where systemd runs.

    `looks` are watched every second ("carrier:eth0", "lacp:eth0" of a leg, "ping:192.0.2.1", "neigh:192.0.2.1%eth0",
    "listen:22", "quorum"): where one is ill for PATIENCE_S the host does not wait for its deadline. `of`: the id of the
    confirmed change that the lines take back, whose folder is another than the script's; it is rolled back once they
    have run.
    """
    first, rest = _BEFORE.split("\n", 1)
    rest = rest.replace(_HERE, _FILES.format("\n".join(files)) if files else "").replace("@units@", UNITS)
    watched = f"looks={shlex.quote(' '.join(looks))} patience={PATIENCE_S}\n"
    watched += f"of={shlex.quote(of)}\n" if of else "of=${0%/*} of=${of##*/}\n"
    return "".join(
        (first, "\n", f"{about}\n" if about else "", watched, rest, *(f"{line}\n" for line in lines), _AFTER)
    )


def undoing(
    changes: Sequence[Change], original: FactSheet, explains: Explains, surplus: Iterable[str] = ()
) -> tuple[str, ...]:
    """The lines that put one host back: its changes in reverse order, then what they may have dragged along.

    `explains` says of a difference whether the treatment may have made it. What is dragged is written only where it
    differs, or in words that are refused where it is there already (`ip address add`). `surplus`: facts that the
    changes brought, which go.
    """
    mine = [change for change in reversed(changes) if change.host == original.host]
    back = [
        Change(change.host, change.key, original.facts[change.key], change.follows)
        for change in mine
        if change.key in original.facts
    ]
    # The CPU that served an interrupt is written as its mask: never after the mask itself, which is put back.
    own = {key for change in mine for key in (change.key, f"{change.key}/on")}
    may = {
        key: value
        for key, value in original.facts.items()
        if key not in own and explains(Difference(original.host, key, value, None))
    }
    lines: list[str] = []
    for knob, listed in itertools.groupby(back, key=lambda change: owner(change.key)):
        group = tuple(listed)
        if knob.kind == Coalescing.kind:  # some drivers refuse another delay once they choose it themselves (ice)
            lines += _delays(original.host, may)
        lines += [_tried(command) for command in knob.writes([each for each in group if not each.follows])]
        lines += [
            _where_it_differs(each, command) for each in group if each.follows for command in knob.writes((each,))
        ]
    gone = repairs([Difference(original.host, key, None, "present") for key in surplus])
    return (*lines, *(_tried(command) for command in gone), *_dragged(original, may))


def _delays(host: str, may: Mapping[str, str]) -> list[str]:
    """Coalescing that the driver couples to what was set, in one call; what is so already reaches no driver.

    ethnl_set_coalesce (net/ethtool/coalesce.c) returns where nothing is modified; so do those of rings and channels.
    """
    delays = [
        Change(host, key, value)
        for key, value in may.items()
        if key.startswith("coalesce/") and key.rpartition("/")[2] not in SWITCHES
    ]
    return [_tried(command) for command in owner(delays[0].key).writes(delays)] if delays else []


def _of_a_nic(host: str, may: Mapping[str, str]) -> list[str]:
    """Rings, channels and coalescing, clocks of CPUs, sizes of what offloads build: by who sets them."""
    lines = []
    for key, value in may.items():
        change = Change(host, key, value)
        if key.startswith(("ring/", "channel/")) or key.rpartition("/")[2] in SWITCHES:
            lines += [_tried(command) for command in repairs((Difference(host, key, value, "-"),))]
        elif key.startswith("cpu/"):
            lines += [
                f"differs {shlex.quote(cpus.path(key))} {shlex.quote(value)} && {_tried(command)}"
                for command in owner(key).writes((change,))
            ]
        elif (size := re.fullmatch(SIZES, key)) is not None:
            there = " ".join(shlex.quote(word) for word in (*size.groups(), value))
            lines += [
                f"sized {there} || {_tried(command)}" for command in repairs((Difference(host, key, value, "-"),))
            ]
    return [*lines, *_delays(host, may)]


def _dragged(original: FactSheet, may: Mapping[str, str]) -> list[str]:
    """What the kernel may have coupled to the changes, in the order in which `repairs` works."""
    facts = original.facts
    lines = _of_a_nic(original.host, may)
    lines += [
        _where_it_differs(Change(original.host, key, value), command)
        for key, value in may.items()
        if re.fullmatch(r"link/[^/]+/mtu", key) and facts.get(f"link/{device_of(key)}/kind") != "bridge"
        for command in owner(key).writes((Change(original.host, key, value),))
    ]
    free = [Change(original.host, key, value) for key, value in may.items() if _settable_feature(key, value)]
    lines += [_tried(command) for command in Feature().writes(free)]
    lines += [
        f"differs {shlex.quote(sysctl_path(name))} {shlex.quote(value)} && {_tried(command)}"
        for key, value in may.items()
        if key.startswith("sysctl/")
        for name in (key.removeprefix("sysctl/"),)
        for command in repairs((Difference(original.host, key, value, None),))
    ]
    lines += [
        f"differs {shlex.quote(device_path(key))} {shlex.quote(value)} && {_tried(command)}"
        for key, value in may.items()
        if key.startswith(("queue/", "napi/"))
        for command in (Command(("tee", device_path(key)), stdin=value),)
    ]
    lines += [
        line for key, value in may.items() if key.startswith("rss/") for line in _spread(original.host, key, value)
    ]
    served = sorted((key for key in may if key.startswith("irq/")), key=lambda key: not key.endswith("/on"))
    lines += [
        _tried(command) for key in served for command in repairs((Difference(original.host, key, may[key], "-"),))
    ]
    lost = [
        Difference(original.host, key, value, None)
        for key, value in may.items()
        if key.startswith(("address/", "neighbour/")) and "dynamic True" not in value
    ]
    lines += [_tried(_as_an_addition(command)) for command in repairs(lost)]
    # The kernel's own routes come back with their addresses; `append` of one that is there makes a second (IPv6).
    routes = sorted((key for key in may if key.startswith("route/") and " proto kernel" not in key), key=_through)
    return [
        *lines,
        *(
            f"lacks {shlex.quote(key.removeprefix('route/'))} && {_tried(command)}"
            for key in routes
            for command in repairs((Difference(original.host, key, may[key], None),))
        ),
    ]


def _spread(host: str, key: str, value: str) -> list[str]:
    """A default table comes back with its channels; to write it would give up what somebody chose alike."""
    _, device, what = key.split("/")
    same = f"ethtool -x {shlex.quote(device)} | grep -Fqe {shlex.quote(value)} || " if what != "table" else ""
    lost = Difference(host, key, value, None)
    return [f"{same}{_tried(command)}" for command in repairs((lost,)) if value != "default"]


def _through(route: str) -> tuple[bool, str]:
    """A route through a gateway needs the one to the gateway first."""
    return " via " in route, route


def _settable_feature(key: str, value: str) -> bool:
    return key.startswith("feature/") and "[fixed]" not in value


def _tried(command: Command) -> str:
    """A line that runs it; what ethtool sets may start a NIC anew, and of a bond's legs one is left each time."""
    line = f"try {shlex.quote(str(command))}"
    return f"apart {shlex.quote(command.argv[2])}; {line}" if command.argv[0] == "ethtool" else line


def _where_it_differs(change: Change, command: Command) -> str:
    """A bridge's MTU that is written stays so for good; one that the kernel moved back is left alone."""
    return f"differs /sys/class/net/{shlex.quote(device_of(change.key))}/mtu {change.wanted} && {_tried(command)}"


def _as_an_addition(command: Command) -> Command:
    """`replace` would give an address that is still there a new lifetime; `add` is refused then, as it should be."""
    words = command.argv
    return Command(("ip", "address", "add", *words[3:])) if words[1:3] == ("address", "replace") else command


def per_host(changes: Sequence[Change], originals: Mapping[str, FactSheet], explains: Explains) -> Mapping[str, str]:
    """The script of every host that is changed."""
    hosts = dict.fromkeys(change.host for change in changes)
    outlive = [change for change in changes if owner(change.key).kind in BY_ITSELF]
    return {
        host: script(undoing(changes, originals[host], explains),
                     files=undoing(outlive, originals[host], lambda _: False))
        for host in hosts
    }  # fmt: skip
