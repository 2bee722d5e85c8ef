"""Profiles as files of other tools, to be kept over a boot. Pure."""

from collections.abc import Sequence

from tuning import bearing
from tuning.knobs.sysctl import sysctl_key
from tuning.knobs.table import knob_for
from tuning.profile import Profile, ProfileSetting

_WIDTH = 118


def sysctl_d(profile: Profile) -> str:
    """The profile's sysctls as a file of sysctl.d(5), each with its reason; what is no sysctl as comments."""
    mine = [each for each in profile.settings if _is_sysctl(each)]
    others = [each for each in profile.settings if not _is_sysctl(each)]
    lines = [
        *_comment(f"nettune profile {profile.name}: {profile.label}."),
        *_comment(
            "For /etc/sysctl.d/99-zz-nettune.conf: of two files that set the same, the later in the alphabet wins, and "
            "99-sysctl.conf is /etc/sysctl.conf. At boot a key is skipped whose module is not loaded yet "
            "(modules-load.d). A file does not know its host: what it lowers there, `nettune profile check` says."
        ),
    ]
    for each in mine:
        lines += [*_comment(_why(profile, each)), f"{sysctl_key(each.setting)} = {' '.join(each.value.split())}"]
    if others:
        lines += ["#", "# No sysctls, and so not kept by this file:"]
    for each in others:
        keep = each.persist or bearing.persist(each.setting, each.value)
        lines += _comment(f"{each.setting} = {each.value}: {keep or 'nettune knows no way to keep it'}")
    return "\n".join(lines) + "\n"


def _is_sysctl(of: ProfileSetting) -> bool:
    knob = knob_for(of.setting)
    return knob is not None and knob.kind == "sysctl"


def _why(profile: Profile, of: ProfileSetting) -> str:
    """Effect, reason or trigger, and by whose word."""
    effect = f"{of.effect_pct:+.1f} %, {of.blocks} blocks" if of.effect_pct is not None else ""
    words = [effect, of.reason or of.trigger, of.source or ("" if effect else profile.source)]
    return "; ".join(word for word in words if word)


def _comment(text: str) -> Sequence[str]:
    """Lines that no text can break out of."""
    words, lines = " ".join(text.split()).split(" "), [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) + 1 > _WIDTH:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return [f"# {line}" for line in lines if line]
