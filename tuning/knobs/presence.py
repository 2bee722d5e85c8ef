"""Which knobs of the catalogue a host has, and what they read: one batch of commands, read by pure functions.

A knob is looked for, never told from a kernel's version: features are carried back. What belongs to a device is asked
of the one device that is named.
"""

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from bench.facts import coalescing, irqs, pve_firewall, state
from bench.hosts.command import Command, HostFault, Outcome
from bench.hosts.host import Host
from bench.pve import vnic
from results.errors import NotAble, WrongInput
from tuning.knobs import several
from tuning.knobs.entry import Entry

State = Literal["writable", "read-only", "the machine's", "absent", "not asked"]

_DEVICE = re.compile(r"[^\s/]{1,15}")  # dev_valid_name, net/core/dev.c
_WHOLE_MACHINE = "/proc/sys/net/core/netdev_max_backlog"  # absent in every namespace but the machine's own
_OWNERS = {name: f"/usr/sbin/{name}" for name in ("pve-firewall", "tuned", "irqbalance")}
# $1: where the host's files lie. Of those that run or are on: a program that is installed alone writes nothing.
_ACTIVE = """\
running=$(cat "$1"/proc/[0-9]*/comm 2>/dev/null | grep -x -e irqbalance -e tuned | sort -u)
case $running in *irqbalance*) echo irqbalance ;; esac
profile=; { read -r profile <"$1/etc/tuned/active_profile"; } 2>/dev/null
case $running in *tuned*) [ -z "$profile" ] || echo tuned ;; esac
echo == cluster.fw; cat "$1/etc/pve/firewall/cluster.fw" 2>/dev/null
true
"""
_CMDLINE = Command(("cat", "/proc/cmdline"))
_QDISCS = Command(("tc", "qdisc", "show"))  # of all devices: of one alone tc leaves its name out
_PRESENT = "Current hardware settings:"  # of `ethtool -g` and `-l`, behind what the driver takes at most
_LABELS = {"--show-eee": "eee-{}", "--show-fec": "{}-fec-encoding"}  # how ethtool calls what it is asked for
_OF_RSS = {"indirection": "RX flow hash indirection table", "function": "RSS hash function",
           "transform": "RSS input transformation"}  # fmt: skip
_OF_A_DEVICE = "of a device: --device DEV"
Outcomes = Mapping[Command, Outcome]


@dataclass(frozen=True, slots=True)
class Found:
    """A knob on a host: its state, what it reads (None: not told), and why where it is neither writable nor read."""

    id: str
    state: State
    value: str | None
    note: str


@dataclass(frozen=True, slots=True)
class Survey:
    """What a host answered. `owners`: programs there that write knobs themselves; `namespaced`: a child namespace."""

    host: str
    device: str
    namespaced: bool
    owners: tuple[str, ...]
    found: tuple[Found, ...]


def survey(host: Host, entries: Sequence[Entry], device: str = "") -> Survey:
    """Ask the host in one batch. Raises NotAble when it has no such device, HostFault when it cannot be asked."""
    if device and not _DEVICE.fullmatch(device):
        raise WrongInput(f"{device!r} names no network device", hint="`ip -br link` lists them")
    asked = questions(entries, device)
    return parse(host.name, entries, device, dict(zip(asked, host.run_all(asked), strict=True)))


def owners(host: Host, root: str = "") -> tuple[str, ...]:
    """Programs on a machine that write knobs themselves, now: they run, with a profile, or are on. Raises HostFault."""
    told = host.run(Command(("sh", "-c", _ACTIVE, "sh", root))).require().stdout
    names, _, firewall = told.partition("== cluster.fw\n")
    on = [*names.split(), *(["pve-firewall"] if pve_firewall.options(firewall).get("enable", "0") != "0" else [])]
    return tuple(name for name in _OWNERS if name in on)


def counted(seen: Survey) -> str:
    """How many knobs are in which state, in one line, and what kind of host it is."""
    states = [each.state for each in seen.found]
    words = [f"{states.count(each)} {each}" for each in get_args(State) if each in states]
    kind = ["a network namespace"] if seen.namespaced else []
    return "; ".join([", ".join(words) or "no knob asked", *kind, *(f"{name} is installed" for name in seen.owners)])


def questions(entries: Sequence[Entry], device: str = "") -> tuple[Command, ...]:
    """The Commands of a survey, each once."""
    files = _files(entries, device)
    found = [_modes(files), Command(("grep", "-Hs", ".", *files))]
    if device:
        found.append(_link(device))
    for each in entries:
        if (of_each := several.question(each, device)) is not None:
            found.append(of_each)
        elif each.how == "boot":
            found.append(_CMDLINE)
        elif device and each.how == "ethtool":
            found.append(_ethtool(each.where, device))
        elif device and each.how == "tc":
            found.append(_QDISCS)
    return tuple(dict.fromkeys(found))


def parse(host: str, entries: Sequence[Entry], device: str, outcomes: Outcomes) -> Survey:
    """What the Outcomes of `questions` say of each entry, in their order. Pure; raises as `survey`."""
    files = _files(entries, device)
    modes = outcomes[_modes(files)]
    if not modes.stdout and modes.returncode != 1:  # 1: some of the files are absent, which is an answer
        modes.require()
    by_path = {path: mode for mode, _, path in (line.partition(" ") for line in modes.stdout.splitlines())}
    if device and not outcomes[_link(device)].ok:
        raise NotAble(f"on {host}: there is no device {device!r}", hint="`ip -br link` lists them")
    namespaced = _WHOLE_MACHINE not in by_path
    texts = _texts(outcomes[Command(("grep", "-Hs", ".", *files))].stdout)
    found = []
    for each in entries:
        path, of_each = _path(each, device), several.question(each, device)
        said = None if of_each is None else several.value(each, device, outcomes[of_each])
        if path:
            text = texts.get(path, "") if said is None else said
            found.append(_file(each, by_path.get(path), text, namespaced=namespaced))
        elif of_each is not None:
            gone = f"{device} has it not" if said is None else ""
            found.append(Found(each.id, "absent" if said is None else "writable", said, gone))
        elif each.setting in vnic.WORDS:
            found.append(Found(each.id, "not asked", None, several.OF_A_VM))
        elif each.setting == irqs.SETTING:
            found.append(Found(each.id, "not asked", None, _OF_A_DEVICE))
        elif each.how in {"qm", "by-hand"}:
            found.append(Found(each.id, "not asked", None, each.where if each.how == "by-hand" else "qm config VMID"))
        elif each.how == "boot":
            words = dict(word.partition("=")[::2] for word in outcomes[_CMDLINE].stdout.split())
            found.append(Found(each.id, "writable", words.get(each.where, ""), "on the kernel's command line"))
        elif not device:
            found.append(Found(each.id, "not asked", None, _OF_A_DEVICE))
        else:
            found.append(_of_device(each, device, outcomes))
    there = tuple(name for name, path in _OWNERS.items() if path in by_path)
    return Survey(host, device, namespaced, there, tuple(found))


def _files(entries: Sequence[Entry], device: str) -> tuple[str, ...]:
    paths = (_path(each, device) for each in entries)
    return tuple(dict.fromkeys((_WHOLE_MACHINE, *_OWNERS.values(), *(path for path in paths if path))))


def _path(entry: Entry, device: str) -> str:
    """The file behind an entry, of the first queue where each has one; "" for no file, or none without a device."""
    if entry.how == "sysctl":
        return state.sysctl_path(entry.where)
    if entry.how != "file" or ("DEV" in entry.where and not device):
        return ""
    return entry.where.replace("DEV", device).replace("*", "0")


def _modes(files: Iterable[str]) -> Command:
    return Command(("stat", "-L", "-c", "%a %n", *files))


def _texts(text: str) -> dict[str, str]:
    """`grep -H .` by file, lines joined, white space normalised."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        path, _, value = line.partition(":")
        found[path] = " ".join((found.get(path, "") + " " + value).split())
    return found


def _file(entry: Entry, mode: str | None, text: str, *, namespaced: bool) -> Found:
    machines = namespaced and entry.namespace == "machine"
    if mode is None:
        why = "it belongs to the whole machine, of which this is one namespace" if machines else ""
        hint = f"is the module {entry.module} loaded?" if entry.module else ""
        return Found(entry.id, "absent", None, why or hint or "this kernel or device has it not")
    chosen = re.search(r"\[(\S+)\]", text)  # of several words, as in "[default] performance powersave"
    value = chosen[1] if chosen else text.split(" ", maxsplit=1)[0] if entry.kind == "bond" else text
    if machines:
        return Found(entry.id, "the machine's", value, "seen here, but it belongs to the whole machine")
    writable = int(mode, 8) & 0o222
    return Found(entry.id, "writable" if writable else "read-only", value, "" if writable else _why_not(namespaced))


def _why_not(namespaced: bool) -> str:
    return "a namespace sees it, and may not write it" if namespaced else "the kernel lets nobody write it"


def _link(device: str) -> Command:
    return Command(("ip", "-d", "-j", "link", "show", "dev", device))


def _ethtool(where: str, device: str) -> Command:
    option, _, rest = where.partition(" ")
    if option == "-k":
        return state.features(device)
    # -n DEV rx-flow-hash udp4, --get-tunable DEV rx-copybreak: a question for each
    return Command(("ethtool", option, device, *(rest.split() if option in {"-n", "--get-tunable"} else ())))


def _of_device(entry: Entry, device: str, outcomes: Outcomes) -> Found:
    try:
        value = _asked(entry, device, outcomes)
    except HostFault:  # ethtool's "Operation not supported"
        value = None
    if value is None:
        return Found(entry.id, "absent", None, f"{device} has it not")
    if value.endswith(" [fixed]"):
        return Found(entry.id, "read-only", value.removesuffix(" [fixed]"), "fixed by its driver")
    return Found(entry.id, "writable", value, "")


def _asked(entry: Entry, device: str, outcomes: Outcomes) -> str | None:  # noqa: PLR0911 - one answer each
    """What the device says of an entry, None where it says nothing of it. Raises HostFault where it refuses."""
    if entry.how == "ip":
        rows = json.loads(outcomes[_link(device)].stdout or "[]")
        value = rows[0].get(entry.where) if rows else None
        return None if value is None else str(value)
    if entry.how == "tc":
        return _qdisc(state.parse_qdiscs(outcomes[_QDISCS].require().stdout.splitlines()), device)
    option, _, word = entry.where.partition(" ")
    outcome = outcomes[_ethtool(entry.where, device)].require()
    match option:
        case "-k":
            return state.parse_features(outcome).get(f"feature/{device}/{word}")
        case "-c":
            return coalescing.parse(device, outcome.stdout).get(f"coalesce/{device}/{word}")
        case "-x":
            return _rss(outcome.stdout, _OF_RSS[word])
        case "-n":
            return " ".join(outcome.stdout.split("\n", 1)[-1].split()) or None
        case _:
            return _labelled(outcome.stdout, _LABELS.get(option, "{}").format(word))


def _qdisc(facts: Mapping[str, str], device: str) -> str | None:
    """The kind at a device's root, or at the leaves where mq stands there."""
    root = facts.get(f"qdisc/{device}/root", "")
    leaves = (facts[key] for key in facts if key.startswith(f"qdisc/{device}/parent :"))
    kind = next(leaves, root) if root.startswith("mq ") else root
    return kind.split(" ")[0] or None


def _labelled(text: str, label: str) -> str | None:
    """The value of one line, "RX Buf Len: 2048" being labelled "rx-buf-len"; None for n/a."""
    lines = (line.partition(":") for line in text[max(text.find(_PRESENT), 0) :].splitlines())
    told = {key.strip().lower().replace(" ", "-"): value.strip() for key, _, value in lines}
    return None if told.get(label) in {None, "", "n/a"} else told[label]


def _rss(text: str, title: str) -> str | None:
    """A section of `ethtool -x` in one line; of words that are on or off the one that is on."""
    _, found, behind = text.partition(title)
    rows = list(itertools.takewhile(lambda line: line.startswith(" "), behind.splitlines()[1:])) if found else []
    on = [row.split(":")[0].strip() for row in rows if row.endswith(": on")]
    return on[0] if on else " ".join(" ".join(rows).split()) or None
