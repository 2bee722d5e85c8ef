"""A profile's settings as lines that the prelude of the shell export (shell.sh) understands. Pure."""

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from bench.facts import cpus
from tuning.knobs import steering
from tuning.knobs.device_files import DEVICE_FILES
from tuning.knobs.link import LINK_NUMBERS
from tuning.knobs.link_options import OPTIONS
from tuning.knobs.sysctl import sysctl_key
from tuning.knobs.table import knob_for
from tuning.profile import ProfileSetting

# What sysfs calls an option of a bridge that `ip link` calls otherwise (net/bridge/br_sysfs_br.c).
_BRIDGE_FILES = {"mcast_snooping": "multicast_snooping", "mcast_querier": "multicast_querier",
                 "mcast_hash_max": "hash_max"}  # fmt: skip
_QUEUES = {each.kind: each.queue for each in DEVICE_FILES}
_SIZES = {each.kind for each in LINK_NUMBERS} - {"txqueuelen"}
_OPTIONS = {each.kind: each for each in OPTIONS}
IPV6_LEAST = 1280  # RFC 8200, 5: below it a device loses its IPv6 addresses, and the script would not bring them back
_SWITCH = {"on": "1", "off": "0"}


@dataclass(frozen=True, slots=True)
class Line:
    """`text` is a line of sh, in which `$device` is each device in turn where it is `of_a_device`."""

    text: str
    of_a_device: bool


def line(setting: ProfileSetting) -> Line | None:
    """The line of a setting; None for one that takes more than a script: interrupts, steering, VMs, no IPv6."""
    word, value = setting.setting, " ".join(setting.value.split())
    if (word == "mtu" and int(value) < IPV6_LEAST) or value in steering.WORDS.get(word, ()):
        return None
    knob = knob_for(word)
    made = _LINES.get(knob.kind) if knob else None
    if made is not None:
        return made(word, value)
    of_a_word = next((make for words, make in _OF_WORDS if word in words), None)
    return of_a_word(word, value) if of_a_word else None


def _cpu_file(word: str, value: str) -> Line:
    """PLACE is a pattern of shell's, outside of quotes."""
    every = "policy*" if "cpufreq" in cpus.FOLDERS[word] else "cpu*"
    place = cpus.path(f"cpu/PLACE/{word}").replace("PLACE", every)
    return Line(f'for file in {place}; do one file "$file" {shlex.quote(value)}; done', of_a_device=False)


def _of_device(*words: str) -> Line:
    how, *rest = words
    return Line(f'one {how} "$device" {" ".join(map(shlex.quote, rest))}', of_a_device=True)


def _device_file(word: str, value: str) -> Line:
    queue, how = _QUEUES[word], "mask" if word.endswith("_cpus") else "file"
    place = f'"/sys/class/net/$device"/queues/{queue}-*/{word}' if queue else f'"/sys/class/net/$device/{word}"'
    return Line(f'for file in {place}; do one {how} "$file" {shlex.quote(value)}; done', of_a_device=True)


def _option_line(word: str, value: str) -> Line:
    option = _OPTIONS[word]
    file = f"bonding/{word}" if option.of == "bond" else f"bridge/{_BRIDGE_FILES.get(word, word)}"
    return _of_device("option", option.of, word, file, _SWITCH.get(value, value) if option.switch else value)


_OF_WORDS: Sequence[tuple[Collection[str], Callable[[str, str], Line]]] = (
    (_SIZES, lambda word, value: _of_device("size", word, value)),
    (_QUEUES, lambda word, value: _device_file(word, _SWITCH.get(value, value))),
    (_OPTIONS, _option_line),
    (cpus.FOLDERS, _cpu_file),
)
_LINES: Mapping[str, Callable[[str, str], Line]] = {
    "sysctl": lambda word, value: Line(f"one sysctl {sysctl_key(word)} {shlex.quote(value)}", of_a_device=False),
    "mtu": lambda _, value: _of_device("link", "mtu", "mtu", value),
    "txqueuelen": lambda _, value: _of_device("link", "txqueuelen", "tx_queue_len", value),
    "feature": lambda word, value: _of_device("feature", word, value),
    "rx-ring": lambda _, value: _of_device("ring", "rx", value),
    "tx-ring": lambda _, value: _of_device("ring", "tx", value),
    "channels": lambda _, value: _of_device("channels", value),
    "coalescing": lambda word, value: _of_device("coalesce", word, value),
    "qdisc": lambda _, value: _of_device("qdisc", value),
}
