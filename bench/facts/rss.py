"""Which queue takes which flow: the RSS table, key and function of a NIC (`ethtool -x`) as facts. Pure.

    rss/eth0/table      "default", or as `ethtool -X` takes it: "equal 2", "equal 2 start 1", "weight 96 32"
    rss/eth0/hkey       "6d:5a:…"
    rss/eth0/hfunc      "toeplitz"

`default` is the spread over all queues in turn, which drivers make anew with other channels as long as nobody has
chosen a table. One that `ethtool -X` has no words for is told queue by queue, "custom 0 1 1 0 …".
"""

import itertools
import re
from collections.abc import Collection, Mapping, Sequence

from bench.hosts.command import Command

_HEAD = re.compile(r"RX flow hash indirection table for .* with (\d+) RX ring\(s\):")
_ROW = re.compile(r"\s*\d+:\s+([\d\s]+)")
_KEY = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2})+")
_FUNCTION = re.compile(r"\s+(\S+): on")
CUSTOM = "custom"
# Drivers take their key from it (netdev_rss_key_fill, net/ethtool/common.c), drawn anew at each boot.
_DRAWN = "sysctl/net.core.netdev_rss_key"


def question(device: str) -> Command:
    """The question for a device's RSS. One without says "Operation not supported", which is no fact."""
    return Command(("ethtool", "-x", device))


def parse(device: str, text: str) -> dict[str, str]:
    """The facts above; none of what the driver does not tell."""
    facts: dict[str, str] = {}
    table: list[int] = []
    rings = 0
    for line in text.splitlines():
        if (head := _HEAD.fullmatch(line.strip())) is not None:
            rings = int(head[1])
        elif (row := _ROW.fullmatch(line)) is not None:
            table += map(int, row[1].split())
        elif _KEY.fullmatch(line.strip()):
            facts[f"rss/{device}/hkey"] = line.strip()
        elif (function := _FUNCTION.fullmatch(line)) is not None:
            facts[f"rss/{device}/hfunc"] = function[1]
    if table:
        facts[f"rss/{device}/table"] = "default" if table == _in_turn(len(table), rings, 0) else words(table)
    return facts


def words(table: Sequence[int]) -> str:
    """A table as `ethtool -X DEV` takes it: fill_indir_table (ethtool.c) spreads equally, or by weight in order."""
    first = min(table)
    rings = max(table) + 1 - first
    if list(table) == _in_turn(len(table), rings, first):
        return f"equal {rings} start {first}" if first else f"equal {rings}"
    if list(table) == sorted(table):  # weights that add up to its size are the number of places of each
        return f"weight {' '.join(str(table.count(ring)) for ring in range(max(table) + 1))}"
    return f"{CUSTOM} {' '.join(map(str, table))}"


def writing(key: str, value: str) -> Command | None:
    """What makes a fact read so again; None where ethtool has no words for it."""
    _, device, what = key.split("/")
    if what != "table":
        return Command(("ethtool", "-X", device, what, value))
    return None if value.startswith(CUSTOM) else Command(("ethtool", "-X", device, *value.split()))


def chosen(facts: Mapping[str, str], devices: Collection[str]) -> dict[str, str]:
    """Of these devices' facts those that somebody chose: a table that is not the driver's, a key not the kernel's.

    By nothing but their values: a driver that is reset has its own again.
    """
    drawn, found = facts.get(_DRAWN, ""), {}
    for device in devices:
        table, key = f"rss/{device}/table", f"rss/{device}/hkey"
        if facts.get(table, "default") != "default":
            found[table] = facts[table]
        if drawn and key in facts and not drawn.startswith(facts[key]):
            found[key] = facts[key]
    return found


def queues(value: str) -> int:
    """How many queues a table that somebody chose needs; 0 for the default, which follows them."""
    kind, *numbers = value.split()
    match kind:
        case "equal":
            return int(numbers[0]) + int(numbers[2] if len(numbers) > 1 else 0)
        case "weight":
            return len(numbers)
        case _:
            return max(map(int, numbers), default=-1) + 1


def _in_turn(size: int, rings: int, first: int) -> list[int]:
    return [first + ring for ring in itertools.islice(itertools.cycle(range(max(rings, 1))), size)]
