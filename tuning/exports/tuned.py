"""A profile for tuned(8): tuned.conf, with the plugins sysctl, net and cpu. Pure. Source: tuned 2.20, tuned/plugins."""

from collections.abc import Mapping

from tuning.exports.comments import comment, why
from tuning.knobs.coalescing import NUMBERS, SWITCHES
from tuning.knobs.sysctl import sysctl_key
from tuning.knobs.table import knob_for
from tuning.profile import Profile

# Options of plugin_net that take several pairs, and by which words; those that take one value.
_RINGS: Mapping[str, str] = {"rx-ring": "rx", "tx-ring": "tx"}
_CPU: Mapping[str, str] = {
    "scaling_governor": "governor",
    "energy_performance_preference": "energy_performance_preference",
}
ONE = ("mtu", "txqueuelen")


def tuned_conf(profile: Profile, devices: tuple[str, ...]) -> str:
    """The file /etc/tuned/NAME/tuned.conf; `devices` for its [net], or every device that is not virtual.

    tuned's own plugins leave bridges, bonds, taps and veths alone: what is set there stands in it as comments.
    """
    sysctls, cpu, left = list[str](), list[str](), list[str]()
    of_net: dict[str, list[str]] = {}
    for each in profile.settings:
        where, word = place(each.setting)
        value = " ".join(each.value.split())
        if where == "sysctl":
            sysctls += [*comment(why(profile, each)), f"{sysctl_key(each.setting)}={value}"]
        elif where == "cpu":
            cpu += [*comment(why(profile, each)), f"{word}={value}"]
        elif where:
            of_net.setdefault(where, []).append(value if where in ONE else f"{word} {value}")
        else:
            left += comment(f"{each.setting} = {each.value}: tuned has no word for it")
    lines = [
        *comment(f"nettune profile {profile.name}: {profile.label}."),
        *comment(f"For /etc/tuned/{profile.name}/tuned.conf; then: tuned-adm profile {profile.name}. Two profiles are "
                 "not active at once: include= the one that is, to keep what it sets. What tuned sets, nettune leaves "
                 "alone."),
        *left, "[main]", f"summary=nettune: {' '.join(profile.label.split())}",
    ]  # fmt: skip
    if sysctls:
        lines += ["", "[sysctl]", *sysctls]
    if of_net:
        named = [f"devices={','.join(devices)}"] if devices else []
        lines += ["", "[net]", *named, *(f"{option}={' '.join(pairs)}" for option, pairs in of_net.items())]
    if cpu:
        lines += ["", "[cpu]", *cpu]
    return "\n".join(lines) + "\n"


def place(setting: str) -> tuple[str, str]:
    """The section, or the option of [net], and the setting's word there; empty where tuned has none."""
    knob = knob_for(setting)
    kind = knob.kind if knob else ""
    if kind in {"sysctl", *ONE}:
        return kind, setting
    if setting in _CPU:
        return "cpu", _CPU[setting]
    if setting in _RINGS:
        return "ring", _RINGS[setting]
    if kind == "coalescing":
        return ("coalesce" if setting in (*SWITCHES[:2], *NUMBERS) else ""), setting
    options = {"feature": "features", "channels": "channels"}
    return options.get(kind, ""), "combined" if setting == "channels" else setting
