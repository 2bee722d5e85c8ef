"""A knob in words, for an operator: what it takes, where it acts, what it costs, and how to keep it. Pure."""

from collections.abc import Mapping
from dataclasses import asdict

from tuning.knobs.candidates import left_out, offered
from tuning.knobs.entry import DISRUPTIONS, NO_EFFECT_ON_GUESTS, POLICIES, Entry
from tuning.knobs.presence import Found, Survey

_BASIS = {
    "published": "a figure or advice of the source; not measured on your host",
    "estimate": "its direction follows from how it works, its size is not known",
    "unverified": "hearsay: measure it",
    "none": "nothing is published that this catalogue could name",
}
_PERSIST = {
    "sysctl.d": "{} = VALUE in /etc/sysctl.d/90-nettune.conf (a file later in the alphabet wins)",
    "post-up": "post-up {} in /etc/network/interfaces",
    "ifupdown2": "{} VALUE in /etc/network/interfaces (ifupdown2)",
    "qm": "qm set VMID, {}",
    "at-boot": "{} from a systemd unit of its own",
    "modprobe.d": "{} in /etc/modprobe.d/nettune.conf",
    "boot": "{} on the kernel's command line (proxmox-boot-tool refresh, or update-grub)",
}
_SCOPES = {
    "namespace": "the network namespace", "device": "one device", "queue": "each queue of a device", "bond": "a bond",
    "bridge": "a bridge", "host": "the whole machine", "guest": "a virtual machine",
}  # fmt: skip
_NAMESPACES = {
    "own": "each network namespace has its own",
    "read-only": "a namespace sees it and may not write it: set it on the machine",
    "machine": "no namespace has its own",
    "device": "",
    "none": "",
}


def explained(entry: Entry, seen: Survey | None = None) -> Mapping[str, str]:
    """Label -> words, in the order to read them; with a Survey also what that host has now."""
    found = next((each for each in seen.found if each.id == entry.id), None) if seen else None
    said = {
        "what": entry.about,
        "in a plan": (entry.setting and f"{entry.setting}: VALUE") or "nettune does not turn it",
        "takes": takes(entry),
        "candidates": ", ".join(entry.candidates),
        "set with": ", ".join(f"{word}: {value}" for word, value in entry.beside),
        **(_now(entry, found, seen) if found and seen else {}),
        "acts on": acts_on(entry),
        "owner": owned(entry, seen),
        "costs": f"{entry.disruption}: {DISRUPTIONS[entry.disruption]}" + ("; the driver decides" * entry.driver),
        "risk": entry.risk,
        "policy": f"{entry.policy}: {POLICIES[entry.policy]}",
        "trigger": "; ".join(filter(None, _triggers(entry))),
        "keep it": kept(entry, "VALUE"),
        "known of it": _BASIS[entry.basis],
        "source": "; ".join(entry.source),
    }
    return {label: words for label, words in said.items() if words}


def document(entry: Entry, seen: Survey | None = None) -> Mapping[str, object]:
    """The same for machines: the entry, the words of `explained`, what the host answered, what is left to try."""
    value = seen.found[0].value if seen else None
    return {
        **asdict(entry),
        "explained": explained(entry, seen),
        "offered": offered(entry, value),
        "survey": asdict(seen) if seen else None,
    }


def _triggers(entry: Entry) -> tuple[str, ...]:
    first = entry.first_under and f"tried first under symptom {entry.first_under}"
    return entry.symptom and f"symptom {entry.symptom}", first, entry.trigger


def takes(entry: Entry) -> str:
    """Type, unit and range in words."""
    unit = f" of {entry.unit}" if entry.unit else ""
    ends = f" from {entry.range[0]} to {entry.range[1]}" if entry.range else ""
    words = "".join(f", or {each}" for each in entry.words)
    match entry.type:
        case "number" | "numbers":
            return f"{'a number' if entry.type == 'number' else 'several numbers'}{unit}{ends}" + (
                ", a maximum" * entry.maximum + words
            )
        case "switch":
            return "on or off"
        case "choice":
            return f"one of {', '.join(entry.words)}"
        case "mask":
            return f"a mask of CPUs in hexadecimal{words}"
        case "cpus":
            return "a list of CPUs"
        case "text":
            return "text"


def kept(entry: Entry, value: str) -> str:
    """How an operator keeps a value of it over a reboot; "" where the catalogue has no way."""
    if entry.type != "choice" and value in entry.words:
        return "nettune apply --persist, which works it out on the host"
    return "; or ".join(_PERSIST[how].format(line) for how, line in entry.persist).replace("VALUE", value)


def acts_on(entry: Entry) -> str:
    """Where it acts, and where it cannot: the TCP of guests is not the host's."""
    of_each = entry.scope == "namespace" and entry.namespace == "own"  # then one says it
    words = ["" if of_each else _SCOPES[entry.scope], _NAMESPACES[entry.namespace]]
    if entry.endpoint:
        words.append("only sockets that end on this host")
        words.append(NO_EFFECT_ON_GUESTS)
    return "; ".join(filter(None, words))


def owned(entry: Entry, seen: Survey | None) -> str:
    """Who writes it beside the operator. A program that may own it is told apart: it is there, or it is not."""
    if entry.owner in {"", "kernel", "driver", "qemu-server", "pve-manager"} or seen is None:
        return entry.owner
    there = entry.owner in seen.owners
    return f"{entry.owner}, which is installed there: leave it to it" if there else f"{entry.owner} (not installed)"


def _now(entry: Entry, found: Found, seen: Survey) -> dict[str, str]:
    where = f" ({seen.device})" if seen.device and entry.scope in {"device", "queue", "bond", "bridge"} else ""
    value = "" if found.value is None else found.value or "(empty)"
    words = f"{value}{where}, {found.state}" if value else found.state
    said = {f"on {seen.host}": f"{words}: {found.note}" if found.note else words}
    if found.value is not None and entry.candidates:
        left = offered(entry, found.value)
        said["left to try"] = ", ".join(left) or "none"
        said["not worth it"] = "; ".join(f"{candidate}: {why}" for candidate, why in left_out(entry, found.value))
    return said
