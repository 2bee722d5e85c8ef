"""Without root: an ordinary user's program goes on as root of a user namespace, with network and mounts of its own.

It goes on in place (`unshare` without --fork): one process with the same id, terminal, standard input and exit code.
A PID namespace would end everything with its first process, but it costs just that: `unshare --fork` of util-linux 2.38
blocks SIGTERM for as long as it waits, so the program would not hear it; and without --fork no thread can be started
any more (clone(2), EINVAL). So a guard ends what a SIGKILL of the program leaves.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from bench.facts.machine import in_user_namespace
from bench.hosts.command import NOT_FOUND, Command
from bench.hosts.host import Host
from bench.hosts.local import Local, go_on_as
from nettune.places import Places
from nettune.say import Screen
from results.errors import NotAble, WrongInput

_SHIPPED = ("plans", "capacity/plans")  # below bench
UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--propagation", "private", "--")
# Waits for the end of its parent $1, which is the program, and ends what is left in the user namespace. Processes are
# found by that namespace's identity, so nobody else's can be meant; thrice, as a shell may be starting a child while it
# is killed. Other signals are for the program alone; USR2 is one that nobody sends to all processes of a user. A parent
# that ended before setpriv asked for the signal sends none: then it is no parent any more.
GUARD = """\
sweep() {
  for _ in 1 2 3; do
    kill -KILL $(find -L /proc/[0-9]*/ns/user -maxdepth 0 -samefile /proc/self/ns/user ! -path "/proc/$$/*" |
      cut -d/ -f3)
  done
  exit
}
trap '' HUP INT TERM; trap sweep USR2
[ "$PPID" = "$1" ] || sweep
sleep infinity & wait"""
# $1 is the guard, the rest the program. `ip netns` keeps its names in /run/netns, where an ordinary user may not write
# and the machine's own must not be seen: /run becomes a folder of ours that holds everything else of the machine's.
# mount -n: the table in /run/mount is the machine's.
ENTER = """\
set -eu
guard=$1; shift
mount -n -t tmpfs -o mode=755 tmpfs /tmp
for each in /run/* /run/.[!.]*; do
  inside=/tmp/${each#/run/}
  if [ -h "$each" ]; then cp -P "$each" "$inside"
  elif [ "$each" = /run/netns ]; then continue
  elif [ -d "$each" ]; then mkdir "$inside"; mount -n --rbind "$each" "$inside"
  elif [ -e "$each" ]; then : >"$inside"; mount -n --bind "$each" "$inside"
  fi
done
mkdir /tmp/netns
mount -n --move /tmp /run
setsid setpriv --pdeathsig USR2 sh -c "$guard" guard "$$" </dev/null >/dev/null 2>&1 &
exec "$@"
"""
# What a lab does first, and what a container with masked /proc or /sys refuses.
_TRIAL = "ip netns add nt-try && ip netns exec nt-try test -w /proc/sys/net/ipv4/ip_forward"
# Switches that forbid it: sysctl, value, value that allows. Read for the reason only: whether it can be done is tried.
_SWITCHES = (
    ("user.max_user_namespaces", "0", "10000"),  # user_namespaces(7)
    ("kernel.unprivileged_userns_clone", "0", "1"),  # Debian's and Arch's patch
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),  # Ubuntu 23.10 and later
)


# Facts and files of a lab compared with those of a run as root, one by one, on 6.18: of a node's 1190 facts 13 are
# hidden and one is mapped (ping_group_range); of the files in sysfs those refuse that ask for the machine's
# CAP_NET_ADMIN (net-sysfs.c); iperf3 -C, -A, -Z and -w, tc, nft, ethtool and ss -K do what they do for root.
NOTE = (
    "Measured in a user namespace, without the machine's root: RPS, XPS and NAPI's timers cannot be set, and "
    "net.core.xfrm_* and net.ipv6.route.* are hidden. Paths, offloads, MTU, qdiscs, firewall rules and the settings "
    "of TCP are what they are with root."
)


def notes(host: Host) -> tuple[str, ...]:
    """What a run's report must say of it: NOTE in a user namespace, nothing elsewhere."""
    return (NOTE,) if in_user_namespace(host) else ()


def announce(screen: Screen) -> None:
    """The same as a line for people."""
    for note in notes(Local()):
        screen.line(note, "yellow")


def elsewhere(plan: str) -> bool:
    """True for a plan, by name or file, whose machines stand elsewhere: from a namespace of ours no way leads there.

    Whatever else is wrong with the file is said by the plan's own reader.
    """
    from bench.document import read  # noqa: PLC0415 - yaml, which only this question needs before the program goes on

    shipped = [path for path in (Path(str(resources.files("bench") / each / f"{plan}.yaml")) for each in _SHIPPED)
               if "/" not in plan and path.is_file()]  # fmt: skip
    try:
        lab = read((shipped or [Path(plan)])[0].read_text(encoding="utf-8"), plan).mapping()["lab"]
        members = lab.mapping()
        return members["provider"].text() in {"hosts", "proxmox"} or "node" in members
    except (OSError, UnicodeDecodeError, KeyError, WrongInput):
        return False


def enter(where: Places) -> None:
    """Nothing for root; for anybody else the program starts again inside and this does not return.

    State and results stay where they are for that user. Raises NotAble, with the reason, where it is not allowed.
    """
    if os.geteuid() == 0:
        return
    address = ""
    with contextlib.suppress(ValueError):  # no URL at all: the store will say so
        address = urlsplit(where.store).hostname or ""
    if address:
        raise NotAble(
            f"the store at {address} cannot be reached by a run without root: its network namespace leads nowhere",
            hint="keep the run in a file (--store FILE), or run it with sudo",
        )
    become([sys.executable, *sys.orig_argv[1:]], where)


def become(argv: Sequence[str], where: Places) -> NoReturn:
    """This process goes on as `argv` inside. Raises NotAble, with the reason, where that is not allowed."""
    problem, hint = refusal(Local())
    if problem:
        raise NotAble(problem, hint=hint)
    state = str(where.state.absolute())  # inside the user is root, whose own places are others
    cache = str(where.cache.absolute())
    go_on_as(inside(*argv), {**os.environ, "NETTUNE_STATE": state, "NETTUNE_CACHE": cache})


def inside(*argv: str) -> tuple[str, ...]:
    """The argv that runs `argv` as root of a new user namespace, in a network and mount namespace of its own."""
    return (*UNSHARE, "sh", "-c", ENTER, "sh", GUARD, *argv)


def refusal(host: Host) -> tuple[str, str]:
    """Why an ordinary user cannot have a lab there, and what to do; ("", "") where it can be had. Found by trying."""
    tried = host.run(Command(inside("sh", "-c", _TRIAL)))
    if tried.ok:
        return "", ""
    said = " ".join((tried.stderr.strip() or tried.stdout.strip()).splitlines()[-1:]) or f"exit {tried.returncode}"
    problem = f"network namespaces need root, and a user namespace cannot stand in for it here: {said}"
    if tried.returncode == NOT_FOUND:
        return problem, "apt-get install util-linux iproute2"
    for sysctl, forbids, allows in _SWITCHES:
        if host.run(Command(("cat", "/proc/sys/" + sysctl.replace(".", "/")))).stdout.strip() == forbids:
            return f"{problem} ({sysctl} is {forbids})", (
                f"run it with sudo; or, as root, `sysctl -w {sysctl}={allows}`: until the next boot every user may "
                "then make user namespaces, which puts more of the kernel within their reach"
            )
    if "No space left" in said:  # ENOSPC of unshare(2): a limit, here or in a namespace around this one, is reached
        problem += " (user.max_user_namespaces is reached)"
    return problem, "run it as root, or with sudo; in a container, give it CAP_SYS_ADMIN and CAP_NET_ADMIN"
