"""What a host that puts itself back overwrites though somebody else had set it: nobody is there to ask, so it is told.

Of values that lie in a file, which plain sh can read; of others (offloads, rings, qdiscs) it tells nothing.
"""

import shlex
from collections.abc import Mapping, Sequence

from bench.facts import cpus
from bench.facts.scope import device_of
from bench.facts.sheet import FactSheet
from bench.facts.state import device_path, sysctl_path
from tuning.knobs.knob import Change

# $1 key, $2 its file, $3 what it had before, $4 what the change set. What is spelled otherwise is sorted out later.
_OVER = """\
over() {
  key=$1 was=$3 ours=$4
  set -- $(cat "$2" 2>/dev/null)
  case "$*" in ''|"$was"|"$ours") return 0 ;; esac
  logged; echo "overwrote $key $*" >>"$log"
}"""
_LINK = {"mtu": "mtu", "txqlen": "tx_queue_len"}


def lines(changes: Sequence[Change], original: FactSheet) -> tuple[str, ...]:
    """What a script says before it puts these back; see tuning.restoring.script."""
    told = []
    for each in changes:
        if (path := _path(each.key)) and (was := original.facts.get(each.key)) is not None:
            words = (each.key, path, " ".join(was.split()), " ".join(each.wanted.split()))
            told.append(f"over {' '.join(shlex.quote(word) for word in words)}")
    return (_OVER, *told) if told else ()


def _path(key: str) -> str:
    """The file of a fact; "" where it has none."""
    kind, _, rest = key.partition("/")
    if kind == "sysctl":
        return sysctl_path(rest)
    if kind in {"queue", "napi"}:
        return device_path(key)
    if kind == "cpu":
        return cpus.path(key)
    name = _LINK.get(rest.rpartition("/")[2]) if kind == "link" else None
    return f"/sys/class/net/{device_of(key)}/{name}" if name else ""


def told(text: str) -> Mapping[str, str]:
    """The facts of such lines, joined by tabs and without their first word, each with the value that went."""
    return {key: value for key, _, value in (line.partition(" ") for line in text.split("\t")) if value}
