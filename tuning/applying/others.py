"""Who else sets what a profile sets: files that are read at boot or by ifreload, programs that run. Asked, not guessed.

One question to a host, read by pure functions. It answers which layer wins: now, after a boot, after an ifreload.
"""

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from bench.facts import tailed
from bench.facts.scope import device_of
from bench.hosts.command import Command
from bench.hosts.host import Host
from tuning.applying import netplan, tuned_profile
from tuning.exports import interfaces
from tuning.exports.networkd import OPTIONS as LINK_OPTIONS
from tuning.knobs.table import knob_for

When = Literal["at boot", "by sysctl --system", "at boot and by ifreload", "while it runs"]
OURS = "99-zz-nettune-"  # of our files in sysctl.d
_SYSCTL_FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
_SYSCTL_FILE = re.compile(rf"({'|'.join(_SYSCTL_FOLDERS)})/([^/]+\.conf)")
_LAST = "/etc/sysctl.conf"
_SOURCED = "sourced:"
_NAMED = ("$IFACE", "${IFACE}", "%I", "$name", "$1")  # the device, in what runs for it
# Files first, each under its name; then the programs that run. LINK: what devices are, and their .link files by udev.
_ASKED = """\
root=$1; shift # where its files lie
sysctls=sysctl.d/*.conf network=$root/etc/network
for file in "$root"/etc/$sysctls "$root"/run/$sysctls "$root"/usr/local/lib/$sysctls "$root"/usr/lib/$sysctls \\
  "$root/etc/sysctl.conf" "$network/interfaces" "$network"/interfaces.d/* "$network"/if-up.d/* \\
  "$network"/if-pre-up.d/* "$root"/etc/netplan/*.yaml "$root"/run/netplan/*.yaml \\
  "$root"/lib/netplan/*.yaml "$root"/etc/systemd/network/*.network \\
  "$root"/etc/udev/rules.d/*.rules "$root/etc/rc.local"; do
  [ ! -f "$file" ] || set -- "$@" "$file"
done
[ "$#" -eq 0 ] || tail -v -n +1 "$@"
# What /etc/network/interfaces sources from elsewhere, each by its name. $1 file, $2 how deep.
sourced() (
  [ "$2" -lt 4 ] || exit 0
  sed -nE 's/^[[:space:]]*(source|source-directory)[[:space:]]+([^[:space:]]+).*/\\1 \\2/p' "$1" |
    while read -r kind where; do
      case $where in /*) where=$root$where ;; *) where=${1%/*}/$where ;; esac
      [ "$kind" = source ] || where=$where/*
      for file in $where; do
        [ -f "$file" ] || continue
        case $kind:${file##*/} in source-directory:*[!A-Za-z0-9_-]*) continue ;; esac
        case $file in
        "$network"/interfaces|"$network"/interfaces.d/*) ;;
        *) printf '\\n==> sourced:%s <==\\n' "${file#"$root"}"; cat "$file" ;;
        esac
        sourced "$file" "$(($2 + 1))"
      done
    done
)
[ ! -f "$network/interfaces" ] || sourced "$network/interfaces" 0
# tuned's profiles and what they include, each by its name, in the order in which they win. $1 name, $2 how deep.
tuned() (
  [ "$2" -lt 7 ] || exit 0
  for folder in /etc/tuned /etc/tuned/profiles /usr/lib/tuned /usr/lib/tuned/profiles; do
    file=$root$folder/$1/tuned.conf
    [ -f "$file" ] || continue
    printf '\\n==> tuned:%s <==\\n' "$1"; cat "$file"
    later=
    for one in $(sed -n 's/^include *= *//p' "$file" | tr ',;' '  '); do later="$one $later"; done
    for one in $later; do tuned "$one" "$(($2 + 1))"; done
    exit
  done
)
if [ -e "$root"/run/tuned/tuned.pid ]; then
  later=
  for one in $(cat "$root"/etc/tuned/active_profile 2>/dev/null); do later="$one $later"; done
  for one in $later; do tuned "$one" 0; done
fi
printf '\\n==> running <==\\n'
cat "$root"/proc/[0-9]*/comm 2>/dev/null | grep -x -e bpftune -e irqbalance -e tuned | sort -u
"""
LINK = """\
for device; do
  at=/sys/class/net/$device
  if [ -d "$at" ]; then
    printf '==> device:%s <==\\n' "$device"
    for mac in $(cat "$at/address") $(ethtool -P "$device" 2>/dev/null | sed -n 's/^Permanent address: //p'); do
      echo "mac $mac"
    done
    driver=$(readlink "$at/device/driver")
    echo "driver ${driver##*/}"
    case $(readlink -f "$at") in */virtual/*) echo virtual ;; esac
    echo
  fi
  file=$(udevadm info -q property -p "/sys/class/net/$device" 2>/dev/null | sed -n 's/^ID_NET_LINK_FILE=//p')
  [ ! -f "$file" ] || { printf '==> link:%s:%s <==\\n' "$device" "$file"; cat "$file"; echo; }
done
"""
Texts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Other:
    """`where`: a file with its line, or a program. `text`: what it says, as it stands there."""

    setting: str
    where: str
    text: str
    when: When
    value: str = ""  # what it sets, where that can be told


def asked(host: Host, devices: Sequence[str], root: str = "") -> Texts:
    """What stands in a host's files below `root`, by path; programs that run under "running". Raises HostFault."""
    asking = Command(("sh", "-c", _ASKED, "sh", root)), Command(("sh", "-c", LINK, "sh", *devices))
    files, links = host.run_all(asking)
    here = {path.removeprefix(root): text for path, text in tailed.files(files.stdout).items()}
    return here | tailed.files(links.stdout)


def found(texts: Texts, settings: Iterable[tuple[str, str, str]]) -> tuple[Other, ...]:
    """Who else sets these; a setting is its word, one of its fact keys, and the value that is wanted. Pure."""
    told: list[Other] = []
    for word, key, value in settings:
        told += _of_sysctl(texts, word, key.removeprefix("sysctl/")) if key.startswith("sysctl/") else ()
        if device := device_of(key):
            told += _of_device(texts, word, value, device)
            told += _of_tuned(texts, word, key, device)
    return tuple(dict.fromkeys(told))


def wins(other: Other, *, kept: bool) -> str:
    """In words: which of the two is there after what."""
    if other.when == "while it runs":
        return "it may set it again at any time"
    if other.when == "by sysctl --system":
        return "it wins after `sysctl --system`, which packages run"
    if other.when == "at boot and by ifreload":
        mine = "after a boot ours is set later and wins; " if kept else "it wins after a boot, and "
        return f"{mine}after `ifreload -a` it wins"
    if not kept:
        return "it wins after a boot"
    if file_of(other) > OURS:
        return "its name is later than ours: it wins after `sysctl --system`; a boot sets ours again, after all files"
    return "ours wins after a boot"


def said(other: Other, name: str = OURS, *, kept: bool = True) -> str:
    """Of who else sets a sysctl, what our file of that name in sysctl.d says: whose line it overrides, or does not."""
    line = f"{other.where}: {other.text}"
    return f"over {line}" if "" < file_of(other) < name else f"not over {line}: {wins(other, kept=kept)}"


def file_of(other: Other) -> str:
    """The name of the file in sysctl.d by which it is set, "" where it is set by anything else."""
    found = _SYSCTL_FILE.match(other.where)
    return found[2] if found else ""


def kept_of(texts: Texts, word: str, key: str) -> tuple[Other, ...]:
    """The last line of a change that we keep on that host ourselves, where one sets this sysctl. Pure."""
    name = key.removeprefix("sysctl/")
    own = sorted(path for path in texts if (match := _SYSCTL_FILE.fullmatch(path)) and match[2].startswith(OURS))
    return tuple([each for path in own for each in _lines(texts[path], path, word, name)][-1:])


# -- sysctls -----------------------------------------------------------------------------------------------------------
def _of_sysctl(texts: Texts, word: str, name: str) -> list[Other]:
    """The file that has the last word at boot, ours left out, and tuned's."""
    told = [each for path in _in_order(texts) for each in _lines(texts[path], path, word, name)][-1:]
    # procps reads it after all others, systemd-sysctl not at all.
    told += [replace(each, when="by sysctl --system") for each in _lines(texts.get(_LAST, ""), _LAST, word, name)[-1:]]
    told += [
        Other(word, f"tuned's profile {profile}", line, "while it runs", value)
        for profile, line, key, value in tuned_profile.sysctls(texts) if _plain(key) == _plain(name)
    ]  # fmt: skip
    if "bpftune" in texts.get("running", "").split():
        told.append(Other(word, "bpftune", "it tunes sysctls of net. by itself", "while it runs"))
    return told


def _in_order(texts: Texts) -> list[str]:
    """The files that sysctl.d(5) reads, in its order: by name, of one name the first folder's; ours left out."""
    by_name: dict[str, str] = {}
    for folder in _SYSCTL_FOLDERS:
        for path in texts:
            if (match := _SYSCTL_FILE.fullmatch(path)) and match[1] == folder and not match[2].startswith(OURS):
                by_name.setdefault(match[2], path)
    return [by_name[name] for name in sorted(by_name)]


def _lines(text: str, path: str, word: str, name: str) -> list[Other]:
    plain = _plain(name)
    told = []
    for number, line in enumerate(text.splitlines(), 1):
        key, equals, value = line.strip().partition("=")
        key = _plain(key.strip().removeprefix("-"))
        if equals and not key.startswith(("#", ";")) and (key == plain or fnmatch.fnmatchcase(plain, key)):
            told.append(Other(word, f"{path}:{number}", line.strip(), "at boot", " ".join(value.split())))
    return told


def _plain(name: str) -> str:
    """With slashes, as the kernel has it: of the two signs the first in a name divides it (sysctl.d(5))."""
    sign = re.search(r"[./]", name)
    return name.translate(str.maketrans("./", "/.")) if sign and sign[0] == "." else name


# -- devices -----------------------------------------------------------------------------------------------------------
def _of_device(texts: Texts, word: str, value: str, device: str) -> list[Other]:
    told = []
    for path, text in texts.items():
        if path.startswith(("/etc/network/interfaces", _SOURCED)):
            told += _in_interfaces(path.removeprefix(_SOURCED), text, word, value, device)
        elif path.startswith(f"link:{device}:"):
            told += _in_units(path.split(":", 2)[2], text, word)
        elif path.endswith(".network") and re.search(rf"^Name=.*\b{re.escape(device)}\b", text, re.MULTILINE):
            told += _in_units(path, text, word)
        elif path.startswith(netplan.FOLDERS):
            told += [Other(word, f"{path}:{number}", line, "at boot", said)
                     for number, line, said in netplan.lines(text, word, device, _about(texts, device))]  # fmt: skip
        elif path.startswith(("/etc/network/if-", "/etc/udev/", "/etc/rc.local")):
            lines = enumerate(text.splitlines(), 1)
            told += [Other(word, f"{path}:{number}", line.strip(), "at boot")
                     for number, line in lines if _sets(line, word, value, (device, *_NAMED))]  # fmt: skip
    if word == "smp_affinity_list" and "irqbalance" in texts.get("running", "").split():
        told.append(Other(word, "irqbalance", "it moves interrupts every ten seconds", "while it runs"))
    return told


def _about(texts: Texts, device: str) -> Mapping[str, frozenset[str]]:
    """What LINK told of a device: its MACs, its driver, whether it is virtual; nothing where it was not asked."""
    found: dict[str, set[str]] = {}
    for line in texts.get(f"device:{device}", "").splitlines():
        word, _, rest = line.partition(" ")
        found.setdefault(word, set()).add(rest.strip())
    return {word: frozenset(said) for word, said in found.items()}


def _of_tuned(texts: Texts, word: str, key: str, device: str) -> list[Other]:
    """Its plugin leaves alone what is virtual (tuned/plugins/plugin_net.py, _init_devices)."""
    if "virtual" in _about(texts, device):
        return []
    return [Other(word, f"tuned's profile {profile}", line, "while it runs", value)
            for profile, line, value in tuned_profile.of_device(texts, word, key, device)]  # fmt: skip


def _in_interfaces(path: str, text: str, word: str, value: str, device: str) -> list[Other]:
    mine = interfaces.attribute(word, value)
    names = {mine[0]} if mine else set()
    names |= {f"offload-{word}", f"{word}-offload"}  # of the hook of Debian's ethtool package, and of ifupdown2
    told = []
    for each in interfaces.options(text):
        # A bridge's stanza may well set its NIC; there $IFACE is the bridge.
        own = each.device == device
        named = (device, *_NAMED) if own else (device,)
        runs = each.name in (*interfaces.UP, "pre-up")
        if (own and each.name in names) or (runs and _sets(each.value, word, value, named)):
            says = each.value if each.name in names else ""
            told.append(
                Other(word, f"{path}:{each.number}", f"{each.name} {each.value}", "at boot and by ifreload", says)
            )
    return told


def _in_units(path: str, text: str, word: str) -> list[Other]:
    option = LINK_OPTIONS.get(word)
    return [
        Other(word, f"{path}:{number}", line.strip(), "at boot", line.partition("=")[2].strip())
        for number, line in enumerate(text.splitlines(), 1)
        if option and line.strip().startswith(f"{option}=")
    ]


def _sets(line: str, word: str, value: str, named: Sequence[str]) -> bool:
    """Whether a line of shell sets that of a device so named: by the program, option and words that we would use."""
    knob = knob_for(word)
    if knob is None or line.lstrip().startswith("#"):
        return False
    program, option, *rest = knob.command(word, value).split()
    words = re.split(r"[\s\"';=]+", line)
    if program == "echo":
        return word in line and any(each in line for each in named)
    wanted = [] if program == "tc" else [each for each in rest if each not in {"DEVICE", value, "dev", "set"}][:1]
    return (
        any(each.rpartition("/")[2] == program for each in words) and option in words
        and any(each in words for each in named) and all(each in words for each in wanted)
    )  # fmt: skip
