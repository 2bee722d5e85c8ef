"""When a NIC interrupts: `ethtool -c` as facts. Pure."""

import re

from bench.hosts.command import Command

_PAIR = re.compile(r"(Adaptive|CQE mode) RX: (on|off|n/a)  TX: (on|off|n/a)")
_LINE = re.compile(r"([a-z][a-z-]+):\s+(on|off|[0-9]+)")


def question(device: str) -> Command:
    """The question for a device's coalescing. One without says "Operation not supported", which is no fact."""
    return Command(("ethtool", "-c", device))


def parse(device: str, text: str) -> dict[str, str]:
    """`ethtool -c` as facts, "coalesce/eth0/rx-usecs"; what the driver does not have (n/a) is left out."""
    facts: dict[str, str] = {}
    for line in text.splitlines():
        pair, single = _PAIR.match(line), _LINE.fullmatch(line.strip())
        if pair is not None:
            word = pair[1].lower().replace(" ", "-")
            facts |= {f"coalesce/{device}/{word}-{end}": pair[at] for end, at in (("rx", 2), ("tx", 3))}
        elif single is not None:
            facts[f"coalesce/{device}/{single[1]}"] = single[2]
    return {key: value for key, value in facts.items() if value != "n/a"}
