"""A profile's sysctls as a file of sysctl.d(5). Pure."""

from tuning import bearing
from tuning.exports.comments import comment, why
from tuning.knobs.sysctl import sysctl_key
from tuning.knobs.table import knob_for
from tuning.profile import Profile, ProfileSetting


def sysctl_d(profile: Profile) -> str:
    """The profile's sysctls as a file of sysctl.d(5), each with its reason; what is no sysctl as comments."""
    mine = [each for each in profile.settings if _is_sysctl(each)]
    others = [each for each in profile.settings if not _is_sysctl(each)]
    lines = [
        *comment(f"nettune profile {profile.name}: {profile.label}."),
        *comment(
            "For /etc/sysctl.d/99-zz-nettune.conf: of two files that set the same, the later in the alphabet wins, and "
            "99-sysctl.conf is /etc/sysctl.conf. At boot a key is skipped whose module is not loaded yet "
            "(modules-load.d). A file does not know its host: what it lowers there, `nettune profile check` says."
        ),
    ]
    for each in mine:
        lines += [*comment(why(profile, each)), f"{sysctl_key(each.setting)} = {' '.join(each.value.split())}"]
    if others:
        lines += ["#", "# No sysctls, and so not kept by this file:"]
    for each in others:
        keep = each.persist or bearing.persist(each.setting, each.value)
        lines += comment(f"{each.setting} = {each.value}: {keep or 'nettune knows no way to keep it'}")
    return "\n".join(lines) + "\n"


def _is_sysctl(of: ProfileSetting) -> bool:
    knob = knob_for(of.setting)
    return knob is not None and knob.kind == "sysctl"
