"""The changeable network state of a host: the Commands that read it and the pure functions that parse it.

One reading serves three readers: the facts kept with every trial, the originals in the journal, and the check that
an undo restored everything. It takes one round trip per host (about 16 ms in a namespace).
"""

import functools
import json
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bench.facts import coalescing, cpus, irqs, pve_firewall, rss, ruleset, vm_nics
from bench.facts.sheet import FactSheet
from bench.hosts.command import Command, Outcome
from bench.hosts.host import Host, ask_everywhere
from results.errors import NotAble

# Sysctls that change by themselves or hold keys; everything else below net.* is kept.
_LEFT_OUT = re.compile(
    r"nf_conntrack_count$"  # runs with the traffic
    r"|tcp_fastopen_key$|stable_secret$"  # secrets
    r"|\.flush$"  # write-only
)
_ROOT = "/proc/sys/"
_DEVICES = "/sys/class/net/"
_NAPI = ("napi_defer_hard_irqs", "gro_flush_timeout", "threaded")
_STEERING = ("rps_cpus", "rps_flow_cnt", "xps_cpus")  # of a queue; the rest is limits and counters
_QDISC = re.compile(r"qdisc (\S+) (\S+) dev (\S+) (root|parent \S+|ingress|clsact)(?: (.*))?")
# Link fields that are state; the rest of `ip -j -d addr` is identity or counts (iproute2 6.1).
_LINK_FIELDS = ("mtu", "txqlen", "qdisc", "operstate", "address", "master", "num_tx_queues", "num_rx_queues",
                "gso_max_size", "gso_max_segs", "gro_max_size", "gso_ipv4_max_size", "gro_ipv4_max_size",
                "tso_max_size", "tso_max_segs", "promiscuity", "allmulti")  # fmt: skip
_ADDRESS_FIELDS = ("broadcast", "scope", "label", "dynamic", "noprefixroute", "temporary", "deprecated", "tentative")

# Options of a bond or bridge that can be changed while it is up, by the words of `ip -j -d link` and `ip link set`.
LINK_OPTIONS: Mapping[str, Sequence[str]] = {
    "bond": ("xmit_hash_policy", "miimon", "updelay", "downdelay", "packets_per_slave", "primary_reselect"),
    "bridge": ("mcast_snooping", "mcast_querier", "mcast_hash_max", "ageing_time", "forward_delay",
               "vlan_stats_enabled"),
}  # fmt: skip

# Links with addresses, permanent neighbours and IPv4 rules.
IDENTITY = Command(("ip", "-d", "-j", "-batch", "-"), stdin="addr show\nneigh show nud permanent\nrule show\n")

# ethtool prints a group of one feature under its own long name in place of the kernel's (off_flag_def, ethtool 6.1).
_SECTIONS = {"Pre-set maximums": "-most", "Current hardware settings": ""}  # of `ethtool -g` and `-l`
_LONG_NAMES = {
    "rx-checksumming": "rx-checksum",
    "generic-segmentation-offload": "tx-generic-segmentation",
    "generic-receive-offload": "rx-gro",
    "large-receive-offload": "rx-lro",
    "rx-vlan-offload": "rx-vlan-hw-parse",
    "tx-vlan-offload": "tx-vlan-hw-insert",
    "ntuple-filters": "rx-ntuple-filter",
    "receive-hashing": "rx-hashing",
    "udp-fragmentation-offload": "tx-udp-fragmentation",
}


# Their answer is told by its text alone: the exit code is 1 where one file is not there.
_OF_FILES: Mapping[Sequence[str], Callable[[str], dict[str, str]]] = {
    cpus.QUESTION.argv: cpus.parse,
    pve_firewall.QUESTION.argv: pve_firewall.parse,
    pve_firewall.BACKEND.argv: pve_firewall.parse_backend,
}


class Unreadable(NotAble):
    """A tool's answer is not what its parser knows."""


def questions(
    devices: Iterable[str],
    *,
    bridges: bool = False,
    filters: bool = False,
    machine: bool = False,
    clocked: bool = False,
    interrupts: bool = False,
    of_pve: bool = False,
    vms: Iterable[str] = (),
) -> tuple[Command, ...]:
    """The Commands that read a host's state: `devices` are those whose features and queues matter.

    `bridges`: it has some; `filters`: its nft ruleset is a part of the path; `machine`: it is one of its own, whose
    devices have rings, channels, coalescing and RSS (a veth has not, and each question costs 2 ms); `clocked`: it
    has CPUs of its own, which a guest has not; `interrupts`: nobody moves those of its devices; `of_pve`: it is a node
    of Proxmox VE, whose firewall keeps some sysctls; `vms`: the ids of those there whose virtual NICs matter.
    """
    devices = tuple(devices)
    files = [f"{_DEVICES}{device}/{name}" for device in devices for name in ("queues", *_NAPI)]
    return (
        Command(("grep", "-rs", ".", _ROOT + "net", *files)),
        IDENTITY,
        Command(("ip", "-j", "-6", "rule", "show")),
        Command(("ip", "route", "show", "table", "all")),  # both families
        Command(("tc", "qdisc", "show")),
        *((Command(("bridge", "-j", "fdb", "show")),) if bridges else ()),
        *((Command(("nft", "-s", "list", "ruleset")),) if filters else ()),
        *(features(device) for device in devices),
        *(Command(("ethtool", option, device)) for device in devices if machine for option in ("-g", "-l")),
        *(of_nic(device) for device in devices if machine for of_nic in (coalescing.question, rss.question)),
        *((cpus.QUESTION,) if clocked else ()),
        *((irqs.question(devices),) if interrupts and devices else ()),
        *((pve_firewall.QUESTION, pve_firewall.BACKEND) if of_pve else ()),
        *(vm_nics.question(each) for each in vms),
    )


def features(device: str) -> Command:
    """The question for a device's features."""
    return Command(("ethtool", "--json", "-k", device))


def read(
    hosts: Mapping[Host, Sequence[str]],
    bridged: Container[Host] = (),
    filtered: Container[Host] = (),
    clocked: Container[Host] = (),
    interrupts: Container[str] = (),
    of_pve: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> dict[str, FactSheet]:
    """The state of every host (with its devices), all asked at the same time; keyed by host name.

    `of_pve`: by host the VMs that matter there, for nodes of Proxmox VE.
    """
    asked = {
        host: questions(
            devices,
            bridges=host in bridged,
            filters=host in filtered,
            machine=not host.local or host in clocked,
            clocked=host in clocked,
            interrupts=host.name in interrupts,
            of_pve=host.name in of_pve,
            vms=of_pve.get(host.name, ()),
        )
        for host, devices in hosts.items()
    }
    answers = ask_everywhere(asked)
    return {host.name: FactSheet(host.name, parse(answers[host])) for host in hosts}


def parse(outcomes: Sequence[Outcome]) -> dict[str, str]:
    """The flat facts of one host from the Outcomes of `questions`."""
    facts: dict[str, str] = {}
    for outcome in outcomes:
        if (reader := _OF_FILES.get(outcome.command.argv)) is not None:
            facts |= reader(outcome.stdout)
            continue
        if (of_tool := _OF_TOOLS.get(outcome.command.argv[:2])) is not None:
            facts |= of_tool(outcome)
            continue
        match outcome.command.argv:
            case ("sh", "-c", _, "irqs", *_):
                facts |= irqs.parse(outcome.stdout)
            case ("grep", *_):
                facts |= parse_files(outcome.stdout)  # it exits with 2 for an unreadable file: normal in /proc/sys
            case ("ip", "-j", "-6", "rule", *_):
                facts |= parse_rules("6", _document(outcome))
            case ("ip", "route", *_):
                # Of routes that a router announced the lifetime is printed, which runs down each second.
                routes = (re.sub(r" expires \S+", "", line) for line in _lines(outcome))
                facts |= dict.fromkeys((f"route/{line}" for line in routes), "present")
            case ("bridge", *_):
                facts |= parse_fdb(_document(outcome))
            case ("ethtool", option, *_, device):
                facts |= parse_features(outcome) if option == "--json" else _of_a_nic(option, device, outcome.stdout)
            case _:
                raise Unreadable(f"on {outcome.host}: nobody reads the answer of `{outcome.command}`")
    return facts


def parse_identity(outcome: Outcome) -> dict[str, str]:
    """Links with addresses, permanent neighbours and IPv4 rules: three JSON documents, one a line."""
    links, neighbours, rules = (_rows(outcome, line) for line in _three(outcome))
    facts = parse_links(links) | parse_rules("4", rules)
    for row in neighbours:
        facts[f"neighbour/{row.get('dev')}/{row.get('dst')}"] = str(row.get("lladdr", ""))
    return facts


def parse_rules(family: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:  # Any: JSON
    """`ip -j rule show` as facts."""
    return {f"rule/{family}/{json.dumps(row, sort_keys=True)}": "present" for row in rows}


def parse_qdiscs(lines: Sequence[str]) -> dict[str, str]:
    """`tc qdisc show` as facts, by device and place: "root", "parent 1:2", "ingress"."""
    facts = {}
    for line in lines:
        found = _QDISC.fullmatch(line.strip())
        if found is None:
            facts[f"qdisc/?/{line.strip()}"] = "present"  # kept, so that a change is noticed; no knob owns its device
            continue
        kind, handle, device, place, rest = found.groups()
        words = re.sub(r"refcnt \d+ ?", "", rest or "").strip()  # counts the queues that share it
        facts[f"qdisc/{device}/{place}"] = f"{kind} {handle} {words}".rstrip()
    return facts


def parse_files(text: str) -> dict[str, str]:
    """`grep -rs .` of /proc/sys/net and the devices' sysfs as facts, white space normalised, lines joined."""
    facts: dict[str, str] = {}
    for line in text.splitlines():
        path, _, value = line.partition(":")
        key = _file_key(path)
        if not key:
            continue
        facts[key] = " ".join((facts.get(key, "") + " " + value).split())
    return facts


@functools.lru_cache(maxsize=10_000)
def _file_key(path: str) -> str:
    """The fact key of a file; "" for one that is left out. Cached: 2000 of them per reading."""
    if path.startswith(_DEVICES):
        device, _, rest = path.removeprefix(_DEVICES).partition("/")
        if rest in _NAPI:
            return f"napi/{device}/{rest}"
        queue = rest.removeprefix("queues/")
        return f"queue/{device}/{queue}" if queue.partition("/")[2] in _STEERING else ""
    name = sysctl_name(path)
    return "" if not path.startswith(_ROOT) or _LEFT_OUT.search(name) else f"sysctl/{name}"


def sysctl_name(path: str) -> str:
    """`/proc/sys/net/ipv4/conf/eth0.5/mtu` as `net.ipv4.conf.eth0/5.mtu`, the way sysctl(8) spells it."""
    return path.removeprefix(_ROOT).translate(str.maketrans("/.", "./"))


def device_path(key: str) -> str:
    """The file behind a `queue/` or `napi/` fact."""
    kind, device, rest = key.split("/", 2)
    return f"{_DEVICES}{device}/{'queues/' if kind == 'queue' else ''}{rest}"


def sysctl_path(name: str) -> str:
    """The file of a sysctl named as sysctl(8) spells it."""
    return _ROOT + name.translate(str.maketrans("/.", "./"))


def parse_links(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:  # Any: JSON
    """`ip -j -d addr show` as link and address facts."""
    facts: dict[str, str] = {}
    for row in rows:
        device = row.get("ifname", "?")
        facts |= {f"link/{device}/{field}": str(row[field]) for field in _LINK_FIELDS if field in row}
        facts[f"link/{device}/flags"] = " ".join(sorted(row.get("flags", ())))
        info = row.get("linkinfo", {})
        kind, options = str(info.get("info_kind", row.get("link_type", ""))), info.get("info_data", {})
        facts[f"link/{device}/kind"] = kind
        facts |= {
            f"{kind}/{device}/{word}": str(options[word]) for word in LINK_OPTIONS.get(kind, ()) if word in options
        }
        if kind == "bond" and options.get("primary"):
            facts[f"bond/{device}/primary"] = str(options["primary"])
        for entry in row.get("addr_info", ()):
            said = (f"{field} {entry[field]}" for field in _ADDRESS_FIELDS if field in entry)
            facts[f"address/{device}/{entry.get('local')}/{entry.get('prefixlen')}"] = " ".join(said)
    return facts


def parse_fdb(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:  # Any: JSON
    """`bridge -j fdb show`: the entries that somebody set; learned ones come and go with traffic."""
    return {
        f"fdb/{row.get('ifname')}/{row.get('mac')} {row.get('flags', [])} vlan {row.get('vlan', '-')}": "present"
        for row in rows
        if row.get("state") in {"permanent", "static"}
    }


def parse_features(outcome: Outcome) -> dict[str, str]:
    """`ethtool --json -k DEV` as facts by kernel string; groups that ethtool only computes are left out.

    The JSON (ethtool 5.10 and later) has active, fixed and requested per feature; `requested` is the wanted bit.
    """
    device = outcome.command.argv[-1]
    rows = _document(outcome)
    if not rows:
        raise Unreadable(f"on {outcome.host}: `{outcome.command}` told of no device")
    facts = {}
    for name, bits in rows[0].items():
        if name == "ifname" or not isinstance(bits, dict) or bits.get("fixed") is None:
            continue
        facts[f"feature/{device}/{_LONG_NAMES.get(name, name)}"] = _feature(bits)
    return facts


def _of_a_nic(option: str, device: str, text: str) -> dict[str, str]:
    if option in _OF_NICS:
        return _OF_NICS[option](device, text)
    return parse_numbers("ring" if option == "-g" else "channel", device, text)


def parse_numbers(kind: str, device: str, text: str) -> dict[str, str]:
    """`ethtool -g` or `-l` as facts: "ring/eth0/rx" and what the driver takes at most, "ring/eth0/rx-most".

    A device without them answers "Operation not supported", which is no fact.
    """
    facts = {}
    most = ""
    for line in text.splitlines():
        word, _, value = line.partition(":")
        if word in _SECTIONS:
            most = _SECTIONS[word]
        elif value.strip().isdecimal() and word.strip():
            facts[f"{kind}/{device}/{word.strip().lower().replace(' ', '-')}{most}"] = value.strip()
    return facts


def _feature(bits: Mapping[str, Any]) -> str:  # Any: JSON
    value = "on" if bits.get("active") else "off"
    if bits["fixed"]:
        return f"{value} [fixed]"
    if bits.get("requested") is not None and bits["requested"] != bits.get("active"):
        return f"{value} [requested {'on' if bits['requested'] else 'off'}]"
    return value


def _document(outcome: Outcome) -> list[dict[str, Any]]:  # Any: JSON
    return _rows(outcome, outcome.require().stdout)


def _three(outcome: Outcome) -> list[str]:
    lines = outcome.require().stdout.splitlines()
    if len(lines) != 3:
        raise Unreadable(f"on {outcome.host}: `{outcome.command}` gave {len(lines)} lines of JSON in place of 3")
    return lines


def _rows(outcome: Outcome, text: str) -> list[dict[str, Any]]:  # Any: JSON
    try:
        document = json.loads(text or "[]")
    except ValueError as error:
        raise Unreadable(
            f"on {outcome.host}: `{outcome.command}` did not answer in JSON: {error}",
            hint="nettune needs iproute2 5.0 and ethtool 5.10 or later",
        ) from error
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise Unreadable(f"on {outcome.host}: `{outcome.command}` answered no list of objects")
    return [row for row in document if row]


def _lines(outcome: Outcome) -> list[str]:
    return [line.rstrip() for line in outcome.require().stdout.splitlines() if line.strip()]


_OF_NICS: Mapping[str, Callable[[str, str], dict[str, str]]] = {"-c": coalescing.parse, "-x": rss.parse}
_OF_TOOLS: Mapping[Sequence[str], Callable[[Outcome], dict[str, str]]] = {
    ("ip", "-d"): parse_identity,
    ("tc", "qdisc"): lambda outcome: parse_qdiscs(_lines(outcome)),
    ("qm", "pending"): vm_nics.parse,
    ("nft", "-s"): lambda outcome: dict(ruleset.facts(outcome.require().stdout)),
}
