"""KNOBS: every kind of knob, in the order in which they are written (undo goes backwards)."""

from collections.abc import Mapping

from bench.document import nearest
from tuning.knobs.feature import Feature
from tuning.knobs.knob import Knob
from tuning.knobs.mtu import Mtu
from tuning.knobs.sysctl import Sysctl

# MTU first: on many drivers it resets the queues and with them what comes later (knowledge of drivers: tuning order
# link, MTU, channels, rings, coalescing, features, RSS, IRQ, XPS/RPS, qdisc, sysctl).
KNOBS: Mapping[str, Knob] = {knob.kind: knob for knob in (Mtu(), Feature(), Sysctl())}


def knob_for(setting: str) -> Knob | None:
    """The knob that takes a setting; None when none does."""
    return next((knob for knob in KNOBS.values() if knob.takes(setting)), None)


def check(setting: str, value: str) -> tuple[str, str]:
    """(problem, hint) of a setting before any host is asked; ("", "") when nothing is wrong."""
    knob = knob_for(setting)
    if knob is None:
        known = [word for each in KNOBS.values() for word in each.words()]
        hint = nearest(setting, known) or "mtu, an offload of `ethtool -k`, or a sysctl below net."
        return f"{setting!r} is no knob that nettune knows", hint
    return knob.problem(setting, value), ""
