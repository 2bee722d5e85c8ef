"""A profile's sysctls as a file of sysctl.d(5). Pure."""

from tuning import bearing
from tuning.exports.comments import comment, why
from tuning.exports.overriding import NAME, Met
from tuning.knobs.sysctl import sysctl_key
from tuning.knobs.table import knob_for
from tuning.profile import Profile, ProfileSetting

_OF_NO_HOST = (
    "A file does not know its host: what it lowers there, `nettune profile check` says; what runs there, and whose "
    "lines this overrides, stands in it where `nettune profile export` has --host ssh://root@HOST too."
)
_OF_A_HOST = (
    "Made for {host}, by what it told: `now` is what ran there, `over` whose line this file overrides, `not over` who "
    "has the last word all the same."
)


def sysctl_d(profile: Profile, met: Met | None = None) -> str:
    """The profile's sysctls as a file of sysctl.d(5), each with its reason; what is no sysctl as comments.

    With what one host told: whose lines each overrides there, without what the host has not, or what would lower it.
    """
    out = met.left_out if met else {}
    mine = [each for each in profile.settings if _is_sysctl(each) and each.setting not in out]
    others = [each for each in profile.settings if not _is_sysctl(each)]
    lines = [
        *comment(f"nettune profile {profile.name}: {profile.label}."),
        *comment(
            f"For /etc/sysctl.d/{met.name if met else NAME}: of two files that set the same, the later in the alphabet "
            "wins, and 99-sysctl.conf is /etc/sysctl.conf. At boot a key is skipped whose module is not loaded yet "
            f"(modules-load.d). {_OF_A_HOST.format(host=met.host) if met else _OF_NO_HOST}"
        ),
    ]
    for each in mine:
        lines += [*comment(why(profile, each)), *(line for said in _said(met, each) for line in comment(said))]
        lines += [f"{sysctl_key(each.setting)} = {' '.join(each.value.split())}"]
    if met and out:
        lines += ["#", *comment(f"Left out on {met.host}:")]
        lines += [line for each in profile.settings if each.setting in out
                  for line in comment(f"{each.setting} = {each.value}: {out[each.setting]}")]  # fmt: skip
    if others:
        lines += ["#", "# No sysctls, and so not kept by this file:"]
    for each in others:
        keep = each.persist or bearing.persist(each.setting, each.value)
        lines += comment(f"{each.setting} = {each.value}: {keep or 'nettune knows no way to keep it'}")
    return "\n".join(lines) + "\n"


def _said(met: Met | None, of: ProfileSetting) -> tuple[str, ...]:
    return met.said.get(of.setting, ()) if met else ()


def _is_sysctl(of: ProfileSetting) -> bool:
    knob = knob_for(of.setting)
    return knob is not None and knob.kind == "sysctl"
