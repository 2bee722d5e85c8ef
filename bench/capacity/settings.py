"""What a run's machines are set to, sysctls and NICs: kept with its trials, and the same where it goes on."""

from collections.abc import Mapping, Sequence

from bench.facts import scope, state
from bench.facts.sheet import FactSheet
from bench.hosts.command import Command
from bench.hosts.host import Host, ask_everywhere

# What has a bus behind it: veths, bridges and taps come and go with labs and guests.
_NICS = Command(("sh", "-c", 'for at in /sys/class/net/*/device; do at=${at%/device}; echo "${at##*/}"; done'))
_KINDS = frozenset({"sysctl", "feature", "queue", "napi", "qdisc", "ring", "channel", "coalesce", "rss", "cpu"})
_OF_LINKS = ("/mtu", "/txqlen")


def read(hosts: Sequence[Host]) -> Mapping[str, FactSheet]:
    """By host what can be set there, without what is of devices that come and go. Raises HostFault, Unreadable."""
    if not hosts:
        return {}
    told = ask_everywhere(dict.fromkeys(hosts, (_NICS,)))
    nics = {host: [each for each in outcome.stdout.split() if each != "*"] for host, (outcome,) in told.items()}
    found = state.read(nics, clocked=frozenset(hosts))
    return {host.name: FactSheet(host.name, _kept(found[host.name].facts, nics[host])) for host in hosts}


def _kept(facts: Mapping[str, str], nics: Sequence[str]) -> dict[str, str]:
    return {key: value for key, value in scope.within(facts, nics).items()
            if key.partition("/")[0] in _KINDS or key.endswith(_OF_LINKS)}  # fmt: skip


def moved(was: Mapping[str, Mapping[str, str]], now: Mapping[str, FactSheet]) -> tuple[str, ...]:
    """`pve1: sysctl/net.core.rmem_max: 212992 -> 4194304` of what both readings tell and is not alike.

    What one alone tells is of a module or a NIC that came or went.
    """
    return tuple(
        f"{host}: {key}: {value} -> {sheet.facts[key]}"
        for host, sheet in now.items()
        for key, value in sorted(was.get(host, {}).items())
        if sheet.facts.get(key, value) != value
    )
