"""Entry: one knob of the catalogue, and the words that its fields may hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

How = Literal["sysctl", "file", "ethtool", "ip", "tc", "qm", "boot", "by-hand"]
Type = Literal["number", "numbers", "switch", "choice", "mask", "cpus", "text"]
Scope = Literal["namespace", "device", "queue", "bond", "bridge", "host", "guest"]
Namespace = Literal["own", "read-only", "machine", "device", "none"]
Disruption = Literal["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7"]
Policy = Literal["A", "C", "R", "V", "D", "X"]
Basis = Literal["published", "estimate", "unverified", "none"]

# In words, for `knobs show` and docs/knobs.md (knowledge of drivers: what a change does to the link).
DISRUPTIONS: Mapping[Disruption, str] = {
    "d0": "at once, and nothing is lost",
    "d1": "new sockets only: start flows anew to see it",
    "d2": "packets are lost for less than a second",
    "d3": "queues or the adapter are reset; the link may go down for up to 10 s",
    "d4": "connectivity may be lost: only with a timer that puts it back",
    "d5": "the guest's NIC is unplugged, or the guest starts anew",
    "d6": "a module is loaded anew",
    "d7": "the machine boots anew",
}
POLICIES: Mapping[Policy, str] = {
    "A": "a search may turn it",
    "C": "a search may turn it where its trigger holds",
    "R": "told, never turned by itself",
    "V": "turned for a moment, to see whether an offload works",
    "D": "read only, to diagnose",
    "X": "never changed",
}
# What becomes of a value on a host: the same words in `knobs show`, `profile check` and a run.
Standing = Literal["changes", "already so", "lowers a maximum", "not there", "no effect by design"]
# Why a knob of sockets (`endpoint`) has no effect by design where the connections end elsewhere.
NO_EFFECT = (
    "it acts on sockets that end on the machine itself; the TCP of what it bridges or routes is the guests' own: "
    "set it in the guest"
)
NO_EFFECT_ON_GUESTS = "no effect by design on bridged or routed guests' TCP: set it in the guest"
OWNERS = ("pve-firewall", "tuned", "irqbalance", "kernel", "driver", "qemu-server", "pve-manager")


@dataclass(frozen=True, slots=True)
class Entry:
    """One knob.

    how, where  how it is read: "sysctl" "net.core.rmem_max", "ethtool" "-k rx-gro"; DEV stands for a device
    setting     the word of a plan that turns it, "" where there is none
    range       least and most of a number, in `unit`
    words       what a choice may be, and what may stand for a number or a mask that each host makes of it
    candidates  values worth measuring, before the host is asked (candidates.offered)
    maximum     it is a limit: below the present value nothing can be gained
    endpoint    it acts on sockets that end on the host alone
    driver      `disruption` is the most; the driver decides
    symptom     what a diagnosis must have found before a search turns it, "" when `trigger` says it in words alone
    first_under under which symptom a search tries it first, though it may be tried without one
    beside      (setting, value) pairs that a search sets with it: one does nothing, or is refused, without the other
    persist     (mechanism, line) pairs
    basis       what is known of its effect: a figure of the source, a direction, hearsay, or nothing
    source      "kernel PATH", "commit HASH", "man PAGE(N)", "pve PACKAGE", "guide NAME"
    """

    id: str
    kind: str
    about: str
    how: How
    where: str
    setting: str
    type: Type
    unit: str
    range: tuple[int, int] | None
    words: tuple[str, ...]
    candidates: tuple[str, ...]
    maximum: bool
    endpoint: bool
    scope: Scope
    namespace: Namespace
    module: str
    disruption: Disruption
    driver: bool
    policy: Policy
    symptom: str
    first_under: str
    beside: tuple[tuple[str, str], ...]
    trigger: str
    risk: str
    persist: tuple[tuple[str, str], ...]
    owner: str
    basis: Basis
    source: tuple[str, ...]
