"""Knobs that a host has more than once: of each CPU, each interrupt of a device, or a VM's NIC. Pure.

A VM's NIC goes by its tap: `tap101i0` is net0 of VM 101 (PVE/QemuServer/Network.pm), on the node that it runs on.
"""

import re
from collections.abc import Mapping

from bench.facts import cpus, irqs, vm_nics
from bench.hosts.command import Command, Outcome
from bench.pve import vnic
from tuning.knobs.entry import Entry

OF_A_VM = "of a VM's NIC: --device tapVMIDiN, on its node"
_TAP = re.compile(r"tap([1-9][0-9]{2,8})i([0-9]{1,2})")
_NAMED_MOST = 4


def question(entry: Entry, device: str) -> Command | None:
    """What a host is asked of such a knob; None for another, or where the device that it belongs to is not named."""
    if entry.setting in cpus.FOLDERS:
        return cpus.QUESTION
    if entry.setting == irqs.SETTING and device:
        return irqs.question((device,))
    tap = _TAP.fullmatch(device)
    return vm_nics.question(tap[1]) if entry.setting in vnic.WORDS and tap else None


def value(entry: Entry, device: str, outcome: Outcome) -> str | None:
    """What the answer says: one value where all are alike, else each with who has it; None where nothing has it."""
    if entry.setting in cpus.FOLDERS:
        facts = cpus.parse(outcome.stdout)
        return _joined({key.split("/")[1]: each for key, each in facts.items() if key.endswith(f"/{entry.setting}")})
    if entry.setting == irqs.SETTING:
        rows = {key.split("/", 2)[2]: each for key, each in irqs.parse(outcome.stdout).items()}
        return _joined({name: each for name, each in rows.items() if name != "near" and not name.endswith("/on")})
    tap = _TAP.fullmatch(device)
    option = vnic.WORDS.get(entry.setting, "")
    told = vm_nics.parse(outcome).get(f"{vm_nics.PREFIX}{tap[1]}/net{tap[2]}/{option}") if tap else None
    return None if told is None else vnic.meaning(option, told)


def _joined(values: Mapping[str, str]) -> str | None:
    """`performance`; `performance (policy0, policy1); powersave (policy2)`; None of none."""
    having: dict[str, list[str]] = {}
    for name, each in values.items():
        having.setdefault(each, []).append(name)
    if len(having) < 2:
        return next(iter(having), None)
    return "; ".join(f"{each} ({_first(names)})" for each, names in having.items())


def _first(names: list[str]) -> str:
    more = len(names) - _NAMED_MOST
    return ", ".join(names[:_NAMED_MOST]) + (f" and {more} more" if more > 0 else "")
