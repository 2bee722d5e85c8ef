"""What a setting bears on: whose traffic, how far, what it disturbs, how it is kept; and what lowers a maximum.

All of it is asked of the catalogue, by the word of a plan. Where a word turns several knobs (tso), what holds for all
of them is told, and the greatest disruption. What the catalogue does not know reads "".
"""

import re
from typing import Literal

from tuning.knobs import candidates
from tuning.knobs.catalogue import entries_for
from tuning.knobs.explain import kept
from tuning.knobs.sysctl import Sysctl, sysctl_key
from tuning.knobs.table import knob_for

Acts = Literal["own-sockets", "all-traffic"]
# Of sysctls that the catalogue has not: their names tell whose they are, but for the two that look before routing.
_OF_SOCKETS = re.compile(r"net\.ipv4\.(tcp|udp)_(?!early_demux$)")


def acts_on(setting: str) -> Acts:
    """Whose traffic feels it: sockets that end on the machine, or all that passes it."""
    found = entries_for(setting)
    own = all(each.endpoint for each in found) if found else _OF_SOCKETS.match(setting) is not None
    return "own-sockets" if own else "all-traffic"


def scope(setting: str) -> str:
    """How far it reaches: one of the catalogue's scopes (of several knobs, the first's); "" for what it has not."""
    return next((each.scope for each in entries_for(setting)), "")


def disruption(setting: str) -> str:
    """What setting it costs those who use the path meanwhile, at most: d0 … d7; "" for what the catalogue has not.

    A sysctl that it has not counts as d4: nobody has surveyed what that moves, and some take addresses away.
    """
    unknown = "d4" if Sysctl().takes(setting) else ""
    return max((each.disruption for each in entries_for(setting)), default=unknown)


def persist(setting: str, value: str) -> str:
    """How an operator keeps it over a reboot, in one line; "" for what is no setting."""
    ways = {kept(each, value) for each in entries_for(setting)} - {""}
    knob = knob_for(setting)
    if len(ways) == 1:
        return ways.pop()
    if setting.startswith("vm-"):
        return "the VM's own configuration keeps it"
    # One line for a group of features, and for a sysctl that the catalogue has not.
    return f"post-up {knob.command(sysctl_key(setting), value)} in /etc/network/interfaces" if knob else ""


def lowers(setting: str, value: str, now: str) -> bool:
    """True where `value` of a maximum is below what stands there now: see candidates.lowers."""
    return any(candidates.lowers(each, value, now) for each in entries_for(setting))
