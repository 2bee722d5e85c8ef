"""FactSheet: everything a host says of its changeable network state, flat, and the differences of two sheets.

Keys are paths whose first word is the kind of fact:

    sysctl/net.ipv4.tcp_rmem                  "4096 131072 33554432"
    link/eth0/mtu                             "1500"
    feature/eth0/tx-tcp-segmentation          "on", "off [fixed]", "off [requested on]"
    address/eth0/198.18.0.1/24                "brd 198.18.0.255 scope global …"
    route/198.18.0.0/24 dev eth0 …            "present"   (the text is what `ip route add` takes)
    rule/4/{"priority": 32766, …}             "present"
    neighbour/eth0/198.18.0.9                 "02:00:00:00:00:09"   (permanent ones only)
    fdb/port-a/33:33:00:00:00:01 …            "present"   (static ones only)
    qdisc/eth0/root                           "noqueue 0:", "pfifo 8001: limit 100p"
    queue/eth0/rx-0/rps_cpus                  "3"
    napi/eth0/threaded                        "0"
    firewall/bridge/rules                     "100"   (of ours; nft/… has a digest of every block)
"""

import functools
import hashlib
import json
from collections.abc import Container, Mapping
from dataclasses import dataclass

from bench.facts import scope


@dataclass(frozen=True)  # no slots: the digest is kept once it is known
class FactSheet:
    """What one host said at one moment."""

    host: str
    facts: Mapping[str, str]

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 over host and facts in a fixed order; equal sheets are stored once."""
        text = json.dumps([self.host, sorted(self.facts.items())], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def of(self, prefix: str) -> dict[str, str]:
        """The facts below `prefix` (which ends in a slash), keyed by the rest of their path."""
        return {key.removeprefix(prefix): value for key, value in self.facts.items() if key.startswith(prefix)}


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that changed; None where it was or is absent."""

    host: str
    key: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        return f"{self.host}: {self.key}: {_shown(self.before)} -> {_shown(self.after)}"


Sheets = Mapping[str, FactSheet]  # by host name


def comparable(kept: Mapping[str, Mapping[str, str]], anew: Container[str]) -> Sheets:
    """Facts by host as sheets to compare with those of another stand; `anew` are hosts that were made once more."""
    return {host: FactSheet(host, scope.but_anew(facts) if host in anew else facts) for host, facts in kept.items()}


def differences(before: Sheets, after: Sheets) -> tuple[Difference, ...]:
    """Every fact that is not the same in both, by host and key."""
    found = []
    for host in sorted(before.keys() | after.keys()):
        old = before[host].facts if host in before else {}
        new = after[host].facts if host in after else {}
        found += [
            Difference(host, key, old.get(key), new.get(key))
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]
    return tuple(found)


def _shown(value: str | None) -> str:
    return "absent" if value is None else repr(value)
