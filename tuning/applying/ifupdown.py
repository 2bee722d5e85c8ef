"""What of a kept change goes into /etc/network/interfaces, where ifupdown2 brings a host's network up.

The rest is set by our script after it. A line is written only where ifupdown2 surely sets what it says, nobody else's
line sets the same, and its own check finds the running device to be so (ADR 0034). Nothing is reloaded: the values are
set already.
"""

import base64
import fnmatch
import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.facts.scope import device_of
from bench.hosts.command import Command
from bench.hosts.host import Host
from results.errors import NotAble
from tuning.applying import keeping, others
from tuning.applying.others import Texts
from tuning.exports import interfaces
from tuning.guard import ROOT
from tuning.knobs.feature import SHORT, Feature
from tuning.knobs.knob import Change
from tuning.knobs.table import knob_for, owner

FILE = "/etc/network/interfaces"
PENDING = f"{FILE}.new"  # what the GUI of Proxmox VE has not applied yet
# $1 root of the guards, $2 file. Nothing where it is not ifupdown2 that reads it at boot: ifupdown has no ifreload.
_ASKED = """\
PATH=$PATH:/usr/sbin:/sbin
command -v ifreload >/dev/null 2>&1 && [ -f "$2" ] && [ ! -L "$2" ] || exit 0
[ ! -d /run/systemd/system ] || systemctl -q is-enabled networking.service 2>/dev/null || exit 0
[ ! -e "$2.new" ] || echo waits
for each in "$1"/*/keep; do
  [ ! -e "$each/sequence" ] || [ ! -e "$each/interfaces.edits" ] || sed 's/^/line\t/' "$each/interfaces.edits"
done
printf 'text\t'; base64 -w 0 "$2"; echo
"""
# $1 folder; the rest are devices. How ifupdown2 finds each to be, by the file on standard input.
_CHECKED = """\
PATH=$PATH:/usr/sbin:/sbin LC_ALL=C
new=$(mktemp) || exit 1
trap 'rm -f "$new"' EXIT
base64 -d >"$new"
for device; do echo "device $device"; ifquery -i "$new" --check "$device" 2>/dev/null; done
true
"""
_CHECK_S = 60.0
_OFFLOADS = "-offload"
_NO_PLAIN = frozenset({"bridge-ports", "bond-slaves", "slaves", "bond-mode", "vlan-raw-device", "vxlan-id"})
_SLAVES = frozenset({"bond-slaves", "slaves"})


@dataclass(frozen=True, slots=True)
class File:
    """The file as it was read.

    waiting  somebody's edits wait beside it
    ours     (device, option) of lines that kept changes have there
    held     facts that kept changes set, there or by our script
    """

    text: str
    waiting: bool = False
    ours: frozenset[tuple[str, str]] = frozenset()
    held: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """SHA-256."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Place:
    """One option of a device's stanza, and the changes that it keeps."""

    device: str
    name: str
    value: str
    changes: tuple[Change, ...]

    @property
    def alone(self) -> bool:
        """False where our script sets it too: another line of the file can make ifupdown2 pass over an offload."""
        return not self.name.endswith(_OFFLOADS)

    @property
    def words(self) -> str:
        """For a person."""
        return f"{FILE}: {self.device}: {self.name} {self.value}"


@dataclass(frozen=True, slots=True)
class Edit:
    """What is written: `before` and `after` are the whole file."""

    places: tuple[Place, ...] = ()
    before: str = ""
    after: str = ""
    _rows: str = field(default="")

    @property
    def keys(self) -> frozenset[str]:
        """The facts that the file keeps."""
        return frozenset(change.key for each in self.places for change in each.changes)

    @property
    def alone(self) -> frozenset[str]:
        """Those of them that our script does not set."""
        return frozenset(change.key for each in self.places if each.alone for change in each.changes)

    @property
    def files(self) -> Mapping[str, str]:
        """For the folder of the change, by name; none where nothing goes into the file."""
        if not self.places:
            return {}
        return {"interfaces": self.after, "interfaces.before": self.before, "interfaces.edits": self._rows}


def asked(host: Host) -> File | None:
    """The host's file; None where its network is not ifupdown2's. Raises HostFault, NotAble."""
    told = host.run(Command(("sh", "-c", _ASKED, "sh", ROOT, FILE))).require().stdout
    rows = [line.split("\t") for line in told.splitlines()]
    found = next((row[1] for row in rows if row[0] == "text" and len(row) > 1), None)
    if found is None:
        return None
    try:
        text = base64.b64decode(found).decode()
    except ValueError:  # no text of UTF-8: its bytes could not be kept
        return None
    ours = frozenset((row[1], row[2]) for row in rows if row[0] == "line")
    held = frozenset(change.key for each in keeping.changes(host) if each.kept for change in each.changes)
    return File(text, any(row[0] == "waits" for row in rows), ours, held)


def placed(
    settings: Iterable[tuple[str, str]], changes: Sequence[Change], file: File, texts: Texts
) -> tuple[Place, ...]:
    """The lines that keep changes of these settings; `texts` is what else stands in the host's files. Pure."""
    up = interfaces.brought_up(file.text)
    found: dict[tuple[str, str], Place] = {}
    for word, given in settings:
        value = " ".join(given.split())
        attribute = interfaces.attribute(word, value)
        if attribute is None:
            continue
        name, said = attribute
        for device in dict.fromkeys(device_of(each.key) for each in changes):
            own = tuple(each for each in changes if device_of(each.key) == device and _of_word(word, each))
            place = Place(device, name, said, own)
            if own and device in up and _sure(place, file) and not _elsewhere(word, place, texts):
                found[device, name] = place
    return tuple(found.values())


def _of_word(word: str, change: Change) -> bool:
    """Whether a setting of that word made the change."""
    knob = owner(change.key)
    if knob is not knob_for(word):
        return False
    return knob.kind != Feature.kind or fnmatch.fnmatchcase(change.key.split("/", 2)[2], SHORT.get(word, word))


def _sure(place: Place, file: File) -> bool:
    """Whether ifupdown2 sets it by that line, and our script does not set another value after it."""
    lines = [each for each in interfaces.options(file.text) if each.device == place.device]
    mine = [each for each in lines if each.name.replace("_", "-") == place.name]
    if len(mine) > 1 or any(each.length > 1 for each in mine):
        return False
    if {each.key for each in place.changes} & file.held and (place.device, place.name) not in file.ours:
        return False
    names = {each.name.replace("_", "-") for each in lines}
    on_another = "." in place.device or "vlan-raw-device" in names
    if place.name == "mtu":  # a VLAN's above its device's is refused at boot; a bond gives its own to its legs
        return not on_another and place.device not in interfaces.parts(file.text, _SLAVES)
    if place.name.endswith(_OFFLOADS):  # its ethtool addon looks at hardware alone
        return not on_another and not names & _NO_PLAIN
    return True


def _elsewhere(word: str, place: Place, texts: Texts) -> bool:
    """Whether somebody else's line sets the same at boot: then what is set last counts, and that is our script."""
    for each in others.found(texts, ((word, change.key, change.wanted) for change in place.changes)):
        name = each.text.split(maxsplit=1)[0].replace("_", "-")
        if each.when in {"at boot", "at boot and by ifreload"} and not (
            re.fullmatch(rf"{FILE}:\d+", each.where) and name == place.name
        ):
            return True
    return False


def edited(host: Host, settings: Iterable[tuple[str, str]], changes: Sequence[Change], devices: Sequence[str], *,
           expected: str = "") -> Edit:  # fmt: skip
    """What is to be written on a host whose devices have the values already; an empty one where nothing is.

    `expected` is the digest of what was shown. Raises NotAble where somebody else is at work on the file.
    """
    file = asked(host)
    if file is None:
        return Edit()
    places = placed(settings, changes, file, others.asked(host, devices))
    if not places:
        return Edit()
    undisturbed(host.name, file, expected)
    edit = _written(file.text, places)
    good = _agreed(host, edit)
    return edit if good == places else _written(file.text, good)


def undisturbed(host: str, file: File, expected: str = "") -> None:
    """Raise NotAble where edits of somebody wait beside the file, or where it is another than that of the digest."""
    if file.waiting:
        raise NotAble(
            f"on {host}: {PENDING} is there: edits that somebody made wait to be applied, and would lose what is "
            f"written to {FILE} meanwhile",
            hint="apply or discard them first: the node, System, Network",
        )
    if expected and file.digest != expected:
        raise NotAble(f"on {host}: somebody has changed {FILE} since it was read",
                      hint="the same words again: they show the file as it is now")  # fmt: skip


def _written(text: str, places: tuple[Place, ...]) -> Edit:
    after, rows = text, ""
    lines = [line.removesuffix("\n") for line in text.splitlines(keepends=True)]
    for each in places:
        there = next((one for one in interfaces.options(text)
                      if one.device == each.device and one.name.replace("_", "-") == each.name), None)  # fmt: skip
        old = lines[there.number - 1] if there else ""
        rows += f"{each.device}\t{each.name}\t{each.value}\t{old}\n"
        after = interfaces.edited(after, each.device, {each.name: each.value})
    return Edit(places, text, after, rows) if places else Edit()


def _agreed(host: Host, edit: Edit) -> tuple[Place, ...]:
    """The lines that ifupdown2 reads, and of which it does not find the device to be otherwise. Raises HostFault."""
    devices = tuple(dict.fromkeys(each.device for each in edit.places))
    text = base64.b64encode(edit.after.encode()).decode()
    told = host.run(Command(("sh", "-c", _CHECKED, "sh", *devices), stdin=text, deadline_s=_CHECK_S)).require().stdout
    return tuple(each for each in edit.places if _found(each, told))


def _found(place: Place, told: str) -> bool:
    """By the answers of `ifquery --check`. It says nothing of offloads: those it may pass over. Pure."""
    answer = told.partition(f"device {place.device}\n")[2].partition("\ndevice ")[0]
    if not re.search(rf"^iface {re.escape(place.device)}\b", answer, re.MULTILINE):
        return False
    said = re.search(rf"^\s+{re.escape(place.name)}\s.*\[(pass|fail)\]\s*$", answer, re.MULTILINE)
    return said[1] == "pass" if said else place.name.endswith(_OFFLOADS)


def words(key: str, places: Collection[Place]) -> str:
    """Where a fact is kept, for a person; "" where our own files keep it."""
    return next((each.words for each in places if key in {change.key for change in each.changes}), "")
