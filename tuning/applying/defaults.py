"""What a kernel that came later ships by itself: where that is more than a change sets, the setting has had its day."""

from collections.abc import Mapping, Sequence

from bench.facts.sheet import FactSheet
from bench.facts.state import sysctl_path
from bench.hosts.command import Command
from bench.hosts.host import Host
from tuning import bearing
from tuning.applying.drift import Drift
from tuning.applying.record import Applied
from tuning.knobs.catalogue import entries_for

# In a namespace that was just made nobody has set anything yet. What it takes over from the first one (tcp_rmem and
# tcp_wmem, tcp_sk_init in net/ipv4/tcp_ipv4.c) reads as ours there: such a default is not seen.
_ASKED = ("unshare", "-n", "grep", "-Hs", ".")


def asked(host: Host, names: Sequence[str]) -> Mapping[str, str]:
    """What the running kernel gives a new namespace, of these sysctls; nothing where none can be made."""
    if not names:
        return {}
    paths = {sysctl_path(name): name for name in names}
    told = host.run(Command((*_ASKED, *paths))).stdout
    rows = (line.split(":", 1) for line in told.splitlines())
    return {paths[path]: " ".join(value.split()) for path, value in rows}


def above(host: Host, changes: Sequence[Applied], now: FactSheet) -> tuple[Drift, ...]:
    """Settings of these changes, which another kernel runs by now, that are below what it ships."""
    found = [(applied, word, change, name) for applied in changes for change in applied.changes
             for word, _ in applied.settings if (name := _its_own(word, change.key))]  # fmt: skip
    shipped = asked(host, [name for *_, name in found])
    return tuple(
        Drift(applied, change.key, change.wanted, now.facts.get(change.key),
              f"a newer kernel's default is above ours: it ships {shipped[name]}; take the setting back, or raise it")
        for applied, word, change, name in found
        if name in shipped and bearing.lowers(word, change.wanted, shipped[name])
    )  # fmt: skip


def _its_own(word: str, key: str) -> str:
    """The sysctl that the setting turns, where the fact is of it and each namespace has its own; "" otherwise."""
    names = (each.where for each in entries_for(word) if each.how == "sysctl" and each.namespace == "own")
    return next((name for name in names if key == f"sysctl/{name}"), "")
