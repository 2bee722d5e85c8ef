"""A driver that lies: an ethtool in one lab's end that does with tx-tcp-segmentation what bad drivers do.

It lies over the real one in the end's own mount namespace, and hands on all that it does not lie about.
"""

import shlex
import stat
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.host import Host

_HEAD = """\
#!/bin/sh
real={real} seen={seen}
wanted=
[ "$1" = -K ] && wanted=$(printf '%s ' "$@" | sed -n 's/.* tx-tcp-segmentation \\(o[nf]*\\) .*/\\1/p')
"""
FAULTS = {
    "refuses": '[ "$wanted" = off ] && { echo "netlink error: Operation not supported" >&2; exit 1; }',
    "ignores": '[ "$wanted" = off ] && exit 0',
    "pretends": """\
[ "$wanted" = off ] && { : >"$seen"; exit 0; }
[ "$wanted" = on ] && { rm -f "$seen"; exit 0; }
[ -e "$seen" ] && [ "$1" = --json ] && {
  "$real" "$@" | sed '/"tx-tcp-segmentation"/,/}/ s/true/false/'; exit
}""",
    "hangs": '[ "$wanted" = off ] && exec sleep 300',
    "loses the link": """\
[ "$wanted" = on ] && to=up || to=down
[ -n "$wanted" ] && { "$real" "$@"; exec ip link set eth0 $to; }""",
    "resets": '[ "$wanted" = off ] && ip link set eth0 txqueuelen 500',
    "couples": '[ "$wanted" = off ] && set -- "$@" tx-udp-segmentation off',
    "inserts tags": """\
case " $* " in
*" tx-vlan-hw-insert off "*) : >"$seen" ;;
*" tx-vlan-hw-insert on "*) rm -f "$seen" ;;
esac""",
    "one way": """\
[ "$wanted" = off ] && : >"$seen"
[ "$wanted" = on ] && [ -e "$seen" ] && { echo "netlink error: Input/output error" >&2; exit 1; }""",
}


def install(host: Host, folder: Path, fault: str) -> None:
    """From now on the host's ethtool is the lying one; it ends with the host's namespace."""
    found = host.run(Command(("sh", "-c", "command -v ethtool"))).require().stdout.strip()
    folder.mkdir()
    real, liar = folder / "ethtool.real", folder / "ethtool"
    real.write_bytes(Path(found).read_bytes())
    head = _HEAD.format(real=shlex.quote(str(real)), seen=shlex.quote(str(folder / "seen")))
    liar.write_text(f'{head}{FAULTS[fault]}\nexec "$real" "$@"\n', encoding="utf-8")
    for path in (real, liar):
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    host.run(Command(("mount", "--bind", str(liar), found))).require()
