"""A node's network as the node itself has it, by its SSH: its file, edits that wait, drift, who is plugged in where.

And the lines by which the node puts all of that back alone. Formats: `ifquery -o json` of ifupdown2 3.0, `ip -j`.
"""

import base64
import hashlib
import re
import shlex
import textwrap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.facts import roles
from bench.hosts.command import Command, HostFault
from bench.hosts.host import Host

FILE = "/etc/network/interfaces"
PENDING = f"{FILE}.new"
SDN = "/etc/network/interfaces.d/sdn"  # that Proxmox VE writes of its zones and vnets
_CHECK_S = 60.0
# What Proxmox VE plugs into bridges by itself, and a reload could drop: pve-doc's warning; ifupdown2#250.
_PLUGGED = re.compile(r"tap\d|fwpr\d|fwln\d|veth\d|veth")
_ABSENT = "-"
_TEXT = 'if [ -e "$1" ]; then base64 -w 0 "$1"; else echo "-"; fi'  # no name of base64's alphabet is "-"
_QUESTIONS = (
    Command(("sh", "-c", _TEXT, "sh", FILE)),
    Command(("sh", "-c", _TEXT, "sh", SDN)),
    Command(("test", "-e", PENDING)),
    Command(("ip", "-j", "-d", "link", "show")),
    Command(("bridge", "-j", "vlan", "show")),
    Command(("ifquery", "--check", "-a", "-o", "json"), deadline_s=_CHECK_S),
    Command(("ifquery", "-a", "-o", "json"), deadline_s=_CHECK_S),
)


@dataclass(frozen=True, slots=True)
class Nic:
    """What of a NIC is put back when it is free again."""

    up: bool
    mtu: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One reading of a node.

    text, sdn  of both files; None where there is none
    pending    somebody's edits wait to be applied
    drift      device -> what of it is not as the file has it
    masters    device of a guest -> the bridge that it is plugged into
    vlans      device of a guest -> (VLAN, flags) of its port
    nics       every device with its state
    ports      device -> its master, of all devices
    """

    text: bytes
    sdn: bytes | None
    pending: bool
    drift: Mapping[str, str]
    masters: Mapping[str, str]
    vlans: Mapping[str, tuple[tuple[int, str], ...]]
    nics: Mapping[str, Nic]
    ports: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Of the file."""
        return digest(self.text)

    @property
    def sources_sdn(self) -> bool:
        """True where the file takes in what SDN writes."""
        return re.search(rb"^\s*source(-directory)?\s+/etc/network/interfaces\.d", self.text, re.MULTILINE) is not None


def digest(text: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(text).hexdigest()


def seen(host: Host) -> Seen:
    """How the node is now. Raises HostFault; where ifupdown2 is not installed too, since Proxmox VE applies by it."""
    text, sdn, pending, links, vlans, checked, configured = host.run_all(_QUESTIONS)
    if checked.returncode == 127 or (not checked.ok and not checked.stdout.strip()):
        said = checked.stderr.strip()[:200] or f"exit {checked.returncode}"
        raise HostFault(f"on {host.name}: `ifquery --check` tells nothing: {said}", hint="ifupdown2 must be installed")
    plain = _decoded(text.require().stdout)
    if plain is None:
        raise HostFault(f"on {host.name}: there is no {FILE}", hint="is that a node of Proxmox VE?")
    try:
        rows = roles.rows(links.require().stdout)
        masters = {str(row["ifname"]): str(row["master"]) for row in rows if "master" in row}
        plugged = {name: master for name, master in masters.items() if _PLUGGED.match(name)}
        return Seen(
            text=plain,
            sdn=_decoded(sdn.require().stdout),
            pending=pending.ok,
            drift=drifted(checked.stdout, configured.require().stdout, masters),
            masters=plugged,
            vlans=_vlans(roles.rows(vlans.stdout) if vlans.ok else [], plugged),
            nics={str(row["ifname"]): Nic("UP" in row.get("flags", ()), int(row.get("mtu", 0))) for row in rows},
            ports=masters,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise HostFault(f"on {host.name}: what it says of its network cannot be read: {error!r}") from error


def drifted(checked: str, configured: str, masters: Mapping[str, str]) -> dict[str, str]:
    """`ifquery --check -a` and `ifquery -a`, in JSON: device -> what of it is not as configured. Pure.

    Guests' ports in a bridge are none of it: they stand in no file, and not every ifupdown2 passes over them. Raises
    ValueError.
    """
    ports = {
        str(row["name"]): set(str(row.get("config", {}).get("bridge-ports", "")).split()) - {"none"}
        for row in roles.rows(configured)
    }
    found = {}
    for row in roles.rows(checked):
        if row.get("status") == "pass":
            continue
        name = str(row["name"])
        bad = [key for key, said in row.get("config_status", {}).items() if "fail" in _listed(said)]
        own = {port for port, master in masters.items() if master == name and not _PLUGGED.match(port)}
        if bad and own == ports.get(name):
            bad = [key for key in bad if key != "bridge-ports"]
            if not bad:
                continue
        found[name] = ", ".join(bad) or "it is not there"
    return found


def putting_back(was: Seen, free: Mapping[str, Nic]) -> tuple[str, ...]:
    """The lines, for a guard, that put a node back as it was read; `free` are NICs that were nobody's.

    Edits that wait are left where they are: they are applied by nobody, and somebody else's may be among them.
    """
    lines = ["differs=", *_file_back(0, FILE, was.text), *_file_back(1, SDN, was.sdn), _RELOADS]
    for device, master in was.masters.items():
        again = [f"ip link set {device} master {shlex.quote(master)}", f"ip link set {device} up"]
        again += [f"bridge vlan add dev {device} vid {vid} {flags}".strip() for vid, flags in was.vlans.get(device, ())]
        tried = " && ".join(again[:2]) + "".join(f"; {each}" for each in again[2:])
        lines.append(f"lost {device} {shlex.quote(master)} && try {shlex.quote(tried)}")
    for nic, state in free.items():
        line = f"ip link set {nic} nomaster; ip link set {nic} mtu {state.mtu} {'up' if state.up else 'down'}"
        lines.append(f'[ -z "$differs" ] || try {shlex.quote(line)}')
    return tuple(lines)


_RELOADS = """\
reload() {
  tries=0
  while :; do
    ifreload -a; code=$?
    [ "$code" = 89 ] && [ "$tries" -lt 60 ] || return "$code"  # 89: another one is at work
    tries=$((tries + 1)); sleep 1
  done
}
lost() {
  [ -e "/sys/class/net/$1" ] || return 1
  now=$(readlink "/sys/class/net/$1/master") || now=
  [ "${now##*/}" != "$2" ]
}
# The mark outlives a restoring that is cut short after the file and before the reload.
[ -z "$differs" ] || : >"$folder/differs"
[ ! -e "$folder/differs" ] || differs=yes
[ -z "$differs" ] || { try back0; try back1; try reload; }"""


def _file_back(number: int, path: str, text: bytes | None) -> list[str]:
    """A function that writes it as it was, whole or not at all, and the question whether it differs."""
    if text is None:
        return [f"back{number}() {{ rm -f {path}; }}", f"[ ! -e {path} ] || differs=yes"]
    body = "\n".join(textwrap.wrap(base64.b64encode(text).decode(), 76))
    return [
        f"original{number}() {{ base64 -d <<'NETTUNE'\n{body}\nNETTUNE\n}}",
        f"back{number}() {{ {_written(path, f'original{number}')}; }}",
        f"original{number} | cmp -s - {path} || differs=yes",
    ]


def _written(path: str, source: str) -> str:
    part = f"{path}.nettune-part"
    # cp -p first: mode and owner are those of the file that is there.
    return (
        f"{{ [ ! -e {path} ] || cp -p {path} {part}; }} && {source} >{part} && sync {part} && mv -f {part} {path} "
        f"&& sync {path.rpartition('/')[0]}"
    )


def restore_text(host: Host, text: bytes, if_digest: str) -> bool:
    """The file has these bytes, where it had that digest; False where it was another. Raises HostFault."""
    script = (
        f'[ "$(sha256sum <{FILE} | cut -c 1-64)" = "$1" ] || exit 3; [ ! -e {PENDING} ] || exit 3; '
        + _written(FILE, "base64 -d")
    )  # fmt: skip
    outcome = host.run(Command(("sh", "-c", script, "sh", if_digest), stdin=base64.b64encode(text).decode()))
    if outcome.returncode == 3:
        return False
    outcome.require("is the node's disk full?")
    return True


def stanzas(text: bytes | None) -> frozenset[str]:
    """The devices that a file has."""
    return frozenset(re.findall(r"^\s*iface\s+(\S+)", (text or b"").decode(errors="replace"), re.MULTILINE))


def _decoded(text: str) -> bytes | None:
    return None if text.strip() == _ABSENT else base64.b64decode(text.strip(), validate=True)


def _vlans(rows: Sequence[Mapping[str, Any]], of: Collection[str]) -> dict[str, tuple[tuple[int, str], ...]]:
    """`bridge -j vlan show`."""
    found: dict[str, tuple[tuple[int, str], ...]] = {}
    for row in rows:
        if row.get("ifname") in of:
            ids: list[tuple[int, str]] = []
            for each in row.get("vlans", ()):
                flags = " ".join("untagged" if "Untagged" in flag else "pvid" for flag in each.get("flags", ()))
                ids += [(vid, flags) for vid in range(int(each["vlan"]), int(each.get("vlanEnd", each["vlan"])) + 1)]
            found[str(row["ifname"])] = tuple(ids)
    return found


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]
