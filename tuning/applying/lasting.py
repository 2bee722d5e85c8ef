"""What a confirmed change needs to outlive a boot: of sysctl.d a file, of ifupdown2 lines, a script, a unit; there.

Everything is sent first, checked there and made so by one rename (lasting.sh). The first boot is on probation: where
links, LACP, gateways, quorum or sshd are not well in time, the host takes files and settings back by itself.
"""

import itertools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from bench.facts import pve_firewall
from bench.facts.scope import device_of
from bench.facts.sheet import FactSheet
from bench.hosts.command import Command, Outcome
from bench.hosts.host import Host
from results.errors import NotAble
from tuning import restoring
from tuning.applying import ifupdown, others, record
from tuning.applying.ifupdown import Edit
from tuning.applying.others import Other
from tuning.applying.record import Applied
from tuning.guard import BUSY, FIRED, ROOT, SLOW_S
from tuning.knobs.knob import Change
from tuning.knobs.table import BY_ITSELF, KNOBS, owner

PROBATION_S = 120
# Whether something there runs our script at boot: systemd, or an init that says so.
_ABLE = """\
[ -d /run/systemd/system ] || [ -e /run/nettune/boots ] ||
  { echo 'no systemd runs there, so nothing would set it at boot'; exit 1; }
for folder in /etc /etc/sysctl.d /etc/systemd/system /var/lib; do
  [ ! -d "$folder" ] || [ -w "$folder" ] || { echo "$folder cannot be written: is it mounted read-only?"; exit 1; }
done
"""
# $1 the folder: all files of it, on disk.
_SENT = """\
set -e
mkdir -p "$1"
cd "$1"
{put}sync ./* .
"""
UNIT = """\
# Made by nettune; `nettune rollback` takes it away with the last change that is kept.
[Unit]
Description=nettune: settings of network profiles
After=pve-cluster.service
After=network.target networking.service systemd-networkd.service systemd-sysctl.service systemd-modules-load.service
Before=pve-guests.service
RequiresMountsFor=/var/lib/nettune
ConditionPathExists=/var/lib/nettune/boot

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /var/lib/nettune/boot boot

[Install]
WantedBy=multi-user.target
"""
_NONE = Edit()
_ORDER = {kind: place for place, kind in enumerate(KNOBS)}


@dataclass(frozen=True, slots=True)
class Standing:
    """A kept change on its host: what is not as it was written, in words; `newer`: a kernel that it was not made on."""

    change_id: str
    odd: str = ""
    newer: str = ""


def script() -> str:
    """The script that a host runs at boot, and that keeps and takes away."""
    return files("tuning.applying").joinpath("lasting.sh").read_text(encoding="utf-8")


def written(
    applied: Applied, kernel: str, probation_s: int = PROBATION_S, edit: Edit = _NONE, over: Sequence[Other] = ()
) -> Mapping[str, str]:
    """The files of a change, by name; `edit` is what ifupdown2 keeps of it, `over` who else sets a sysctl. Pure."""
    ordered = sorted(applied.changes, key=lambda change: _ORDER[owner(change.key).kind])
    by_itself = [each for each in ordered if owner(each.key).kind in BY_ITSELF]
    sysctls = [each for each in ordered if owner(each.key).kind == "sysctl" and not by_the_firewall(each, by_itself)]
    others = [each for each in ordered if owner(each.key).kind != "sysctl" and each not in by_itself]
    of_a_boot = [each for each in ordered
                 if owner(each.key).kind == "sysctl" or each in by_itself or each.key in edit.keys]  # fmt: skip
    kept_there = [each for each in others if each.key in edit.alone]
    others = [each for each in others if each not in kept_there]
    devices = dict.fromkeys(name for each in (*others, *kept_there) if (name := device_of(each.key)))
    before = record.before(applied)
    made = f"# nettune: profile {applied.profile}, change {applied.change_id}; to take it back: nettune rollback\n"
    return {
        "set": made + "".join(f"{line}\n" for line in _lines(others)),
        # What the change moved and no more: whatever else became of the host until then is its owner's.
        "undo": _undo(made, ordered, before),
        "undo.sysctl": _undo(
            made,
            of_a_boot,
            FactSheet(
                before.host,
                {key: value for key, value in before.facts.items() if key in {each.key for each in of_a_boot}},
            ),
        ),
        "sysctl.conf": made + "".join(_sysctl_lines(applied, each, over) for each in sysctls) if sysctls else "",
        "devices": "\n".join(devices) + "\n",
        "kernel": f"{kernel}\n",
        "probation": f"{probation_s}\n",
        "unit": UNIT,
        "boot": script(),
        **({"set.interfaces": "".join(f"{line}\n" for line in _lines(kept_there))} if edit.files else {}),
        **edit.files,
    }


def _sysctl_lines(applied: Applied, change: Change, over: Sequence[Other]) -> str:
    """The setting, below what it was, the lines of other files that it overrides, and who does not give way to it."""
    name = _sysctl(change)
    lines = [f"was {applied.originals.get(change.key)}"]
    lines += [others.said(each) for each in over if each.setting == name]
    return "".join(f"# {' '.join(line.split())}\n" for line in lines) + f"{name} = {change.wanted}\n"


def _lines(changes: list[Change]) -> list[str]:
    lines = []
    for knob, listed in itertools.groupby(changes, key=lambda change: owner(change.key)):
        lines += [f"try {shlex.quote(str(command))}" for command in knob.writes(tuple(listed))]
    return lines


def _undo(made: str, changes: list[Change], before: FactSheet) -> str:
    lines = restoring.undoing(changes, before, lambda _: True)
    return made + restoring.FUNCTIONS + "".join(f"{line}\n" for line in lines)


def by_the_firewall(change: Change, by_itself: Sequence[Change]) -> bool:
    """Whether a sysctl is written by Proxmox VE's firewall, from the option that is changed beside it."""
    option = pve_firewall.OPTIONS.get(_sysctl(change))
    return any(each.key == f"host.fw/{option}" for each in by_itself)


def _sysctl(change: Change) -> str:
    return change.key.removeprefix("sysctl/")


def able(host: Host) -> None:
    """Raise NotAble where nothing would set it at boot, or where its files cannot be written."""
    outcome = host.run(Command(("sh", "-c", _ABLE)))
    if not outcome.ok:
        raise NotAble(f"on {host.name}: it cannot be kept over a boot: {outcome.stdout.strip()}",
                      hint="--runtime-only, and `nettune profile export` for what keeps it there")  # fmt: skip


def keep(host: Host, applied: Applied, probation_s: int = PROBATION_S, expected: str = "") -> Edit:
    """A confirmed change stays over boots, the first on probation; what ifupdown2 keeps of it.

    `expected` is the digest of /etc/network/interfaces as it was shown. Raises NotAble; it is not kept at all then.
    """
    kernel = host.run(Command(("uname", "-r"))).require().stdout.strip()
    try:
        edit = ifupdown.edited(host, applied.settings, applied.changes, applied.devices, expected=expected)
    except NotAble as error:
        raise NotAble(
            f"change {applied.change_id} stands, and is not kept over a boot: {error}", hint=error.hint
        ) from error
    sysctls = [(_sysctl(each), each.key, each.wanted) for each in applied.changes if each.key.startswith("sysctl/")]
    over = others.found(others.asked(host, ()), sysctls) if sysctls else ()
    sent = _sent(host, applied.change_id, written(applied, kernel, probation_s, edit, over))
    said = sent.stderr.strip() or f"exit {sent.returncode}"
    if sent.ok:
        outcome = _run(host, "keep", applied.change_id)
        if outcome.ok:
            return edit
        said = {BUSY: f"its lock was held: who holds {ROOT}/lock?", FIRED: "it is not confirmed any more"}.get(
            outcome.returncode, outcome.stderr.strip()[:300] or f"exit {outcome.returncode}"
        )
    host.run(Command(("rm", "-rf", f"{ROOT}/{applied.change_id}/keep.next")))
    raise NotAble(
        f"on {host.name}: change {applied.change_id} stands, and is not kept over a boot: {said}",
        hint="once that is mended: nettune apply the same profile with --persist",
    )


def _sent(host: Host, change_id: str, texts: Mapping[str, str]) -> Outcome:
    """The files beside the change, on disk, in one round trip."""
    put = "".join(f"printf %s {shlex.quote(text)} >{shlex.quote(name)}\n" for name, text in texts.items())
    words = ("sh", "-s", "--", f"{ROOT}/{change_id}/keep.next")
    return host.run(Command(words, stdin=_SENT.format(put=put), deadline_s=SLOW_S))


def unkeep(host: Host, change_id: str) -> str:
    """Its files are gone, and with the last one all that runs at boot; what was left there, in words."""
    return _run(host, "unkeep", change_id).require(f"its folder is {ROOT}/{change_id}").stdout.strip()


def standing(host: Host) -> tuple[Standing, ...]:
    """How the files of kept changes are on a host."""
    found = []
    for line in _run(host, "check").require().stdout.splitlines():
        change_id, _, said = line.partition(" ")
        newer = said if said.startswith("kernel ") else ""
        found.append(Standing(change_id, "" if newer or said == "ok" else said, newer))
    return tuple(found)


def _run(host: Host, *words: str) -> Outcome:
    """Our own script and not the host's, which another version may have put there."""
    return host.run(Command(("sh", "-s", "--", *words), stdin=script(), deadline_s=2 * SLOW_S))
