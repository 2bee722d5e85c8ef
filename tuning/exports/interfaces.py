"""/etc/network/interfaces, as ifupdown2 and ifupdown read it: what a device's stanza says, and edits of its lines.

Every other line stays byte for byte: order, comments, indentation and line ends. Pure. Formats: man interfaces(5),
ifupdown2's addons (link, ethtool, bond, bridge).
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from tuning.knobs import steering
from tuning.knobs.catalogue import entries_for
from tuning.knobs.cpu import CPU_FILES
from tuning.knobs.sysctl import Sysctl
from tuning.knobs.table import LAB_ONLY, knob_for
from tuning.knobs.vm import VIRTUAL

# Attributes that ifupdown2 surely sets; what is none of them goes into a post-up line. Version 3.0 and later ones read
# "on" of each line with a "segmentation" in it, so that they never switch tso and gso on, and keep the features of the
# first device for all, so that they pass over the others' gro, lro, rx and tx (addons/ethtool.py, get_offload_setting).
_OFFLOADS = {(each, "off"): f"{each}-offload" for each in ("tso", "gso")}
_PARTS = frozenset({"bridge-ports", "bond-slaves", "slaves", "vlan-raw-device"})
_TEN_MS = frozenset({"ageing_time", "forward_delay"})  # the kernel's unit; ifupdown2's is the second
_YOUNG = frozenset({"ring-rx", "ring-tx", "rx-vlan-filter"})  # an older ifupdown2 passes over them without a word
_YES_NO = frozenset({"bridge-mcsnoop", "bridge-mcquerier", "bridge-learning"})
_NOT_OF_A_LINE = frozenset({*VIRTUAL, *LAB_ONLY, "smp_affinity_list", Sysctl.kind, *(each.kind for each in CPU_FILES)})
_BEGINS = re.compile(
    r"iface|auto|allow-\S+|no-auto-down|no-scripts|mapping|source|source-directory|rename|template|vlan"
)
UP = ("up", "post-up")
_AUTO = frozenset({"auto", "allow-auto", "allow-hotplug"})


@dataclass(frozen=True, slots=True)
class Line:
    """One option of a stanza; with an empty name, the line that begins one. `number` from 1, `length` in lines."""

    number: int
    length: int
    device: str
    name: str
    value: str


def attribute(setting: str, value: str) -> tuple[str, str] | None:
    """Name and value of ifupdown2's attribute for a setting; None where it has none, and a post-up line is the way."""
    if (setting, value) in _OFFLOADS:
        return _OFFLOADS[setting, value], value
    found = [line for each in entries_for(setting) for how, line in each.persist if how == "ifupdown2"]
    if len(set(found)) != 1 or found[0].endswith("-offload") or found[0] in {"NAME", *_YOUNG}:
        return None
    name = found[0]
    if setting in _TEN_MS:
        return (name, f"{int(value) / 100:g}") if value.isdigit() else None
    words = {"on": "yes", "off": "no", "1": "yes", "0": "no"}
    return name, words.get(value, value) if name in _YES_NO else value


def command(setting: str, value: str, device: str) -> str:
    """The line of a post-up for what has no attribute; "" where a line cannot do it, or it is not the device's."""
    knob = knob_for(setting)
    if knob is None or knob.kind in _NOT_OF_A_LINE or value in steering.WORDS.get(setting, ()):
        return ""
    return f"{re.sub(r'  +#.*', '', knob.command(setting, value)).replace('DEVICE', device)} || true"


def options(text: str) -> tuple[Line, ...]:
    """Every option of every stanza of a device, in order."""
    return tuple(each for each in _read(text) if each.name)


def parts(text: str, names: Collection[str] = _PARTS, of: str = "") -> frozenset[str]:
    """The devices that others are made of, by options of these names; with `of` those of that device alone."""
    found = [each for each in options(text) if each.name.replace("_", "-") in names and of in {"", each.device}]
    return frozenset(name for each in found for name in each.value.split())


def brought_up(text: str) -> frozenset[str]:
    """The devices with a stanza that `ifup -a` brings up: by name, and what those are made of."""
    there = {each.device for each in _read(text)}
    rows = [line.split() for line in text.splitlines()]
    left = [name for row in rows if row and row[0] in _AUTO for name in row[1:]]
    up: set[str] = set()
    while left:
        name = left.pop()
        if name not in up:
            up.add(name)
            left += [*parts(text, of=name), *([name.rpartition(".")[0]] if "." in name else [])]
    return frozenset(up & there)


def edited(text: str, device: str, wanted: Mapping[str, str], commands: Sequence[str] = ()) -> str:
    """The file with these attributes and post-up commands in the device's stanza.

    An attribute that is there is given its new value in place; what is new goes behind the stanza's last option,
    indented as that is. Raises KeyError where the device has no stanza: one of ours would bring up what nobody
    asked for.
    """
    known = [each for each in _read(text) if each.device == device]
    begun = [each for each in known if not each.name]
    if not begun:
        raise KeyError(device)
    # Of several stanzas (inet, inet6) the first: link options are the device's.
    first = [each for each in known if len(begun) == 1 or each.number < begun[1].number]
    lines = text.splitlines(keepends=True)
    ending = "\r\n" if "\r\n" in text else "\n"
    left = dict(wanted)
    edits: list[tuple[int, int, list[str]]] = []
    for each in known:
        name = each.name.replace("_", "-")  # of older files, which ifupdown2 takes for the same
        if name in left:
            here = each.number - 1
            edits.append((here, here + each.length, [_with_value(lines[here], each.name, left.pop(name), ending)]))
    there = {each.value for each in known if each.name in UP}
    new = [f"{name} {value}" for name, value in left.items()]
    new += [f"post-up {command}" for command in commands if command not in there]
    behind = first[-1].number - 1 + first[-1].length
    indent = "\t" if len(first) == 1 else _indent(lines[first[-1].number - 1])
    edits.append((behind, behind, [f"{indent}{line}{ending}" for line in new]))
    if new and not lines[behind - 1].endswith("\n"):
        lines[behind - 1] += ending
    for begin, end, put in sorted(edits, reverse=True):
        lines[begin:end] = put
    return "".join(lines)


def _read(text: str) -> list[Line]:
    found: list[Line] = []
    device, begun, first = "", "", 0
    for number, line in enumerate(text.splitlines(), 1):
        first = first if begun else number
        if line.endswith("\\"):  # interfaces(5): the next line goes on with this one
            begun += line[:-1] + " "
            continue
        words = (begun + line).split(maxsplit=1)
        begun = ""
        if not words or words[0].startswith("#"):
            continue
        value = words[1].strip() if len(words) > 1 else ""
        if _BEGINS.fullmatch(words[0]):
            device = value.split()[0] if words[0] == "iface" and value else ""
        if device:
            name = "" if words[0] == "iface" else words[0]
            found.append(Line(first, number - first + 1, device, name, value))
    return found


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _with_value(line: str, name: str, value: str, ending: str) -> str:
    """The same line, its blanks too, with another value."""
    head = re.match(rf"\s*{re.escape(name)}\s*", line.rstrip("\r\n\\"))
    begin = head[0] if head else name
    return f"{begin if begin[-1:].isspace() else begin + ' '}{value}{ending}"
