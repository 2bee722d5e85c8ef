"""A profile as a script of POSIX sh that needs nothing of ours, with its own undo; and a unit that runs it."""

import shlex
from importlib.resources import files

from tuning.exports.comments import comment, why
from tuning.exports.lines import line
from tuning.knobs.table import KNOBS, knob_for
from tuning.profile import Profile, ProfileSetting

PLACE = "/usr/local/lib/nettune"
_UNIT = """\
{head}
[Unit]
Description=nettune profile {name}
After=network.target networking.service systemd-networkd.service systemd-sysctl.service systemd-modules-load.service
Before=pve-guests.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh {script} apply {devices}
ExecStop=/bin/sh {script} undo

[Install]
WantedBy=multi-user.target
"""


def script(profile: Profile) -> str:
    """`sh FILE apply|undo|status DEVICE…`. What takes more than a script stands in it as comments."""
    order = list(KNOBS)
    ordered = sorted(profile.settings, key=lambda each: order.index(_kind(each)))
    body: dict[bool, list[str]] = {True: [], False: []}
    left: list[str] = []
    for each in ordered:
        made = line(each)
        if made is None:
            left += comment(f"{each.setting} = {each.value}: takes more than a script; nettune apply does it")
        else:
            body[made.of_a_device] += [*comment(why(profile, each)), made.text]
    return "\n".join((
        "#!/bin/sh", *comment(f"nettune profile {profile.name}: {profile.label}."),
        *comment("sh FILE apply DEVICE...; sh FILE status DEVICE...; sh FILE undo. It lasts until the host boots, has "
                 "no timer that puts the host back, and no eye on who else rides on a device: that is nettune apply."),
        *(["#", "# Not in this script:", *left] if left else []),
        f"name={shlex.quote(profile.name)} of_devices={'yes' if of_devices(profile) else ''}",
        "settings() {", *(f"  {each}" for each in body[False]), "  for device; do",
        *(f"    {each}" for each in (*body[True], ":")), "  done", "}", "",
        files("tuning.exports").joinpath("shell.sh").read_text(encoding="utf-8"),
    ))  # fmt: skip


def of_devices(profile: Profile) -> bool:
    """Whether it sets something of a device."""
    return any(made.of_a_device for each in profile.settings if (made := line(each)))


def unit(profile: Profile, devices: tuple[str, ...]) -> str:
    """The unit for `script`'s file below PLACE: it applies at every boot, and undoes on stop."""
    head = comment(
        f"The script goes to {PLACE}/{profile.name}.sh, this file to "
        f"/etc/systemd/system/nettune-profile-{profile.name}.service; then: "
        f"systemctl enable --now nettune-profile-{profile.name}"
    )
    return _UNIT.format(head="\n".join(head), name=profile.name, script=f"{PLACE}/{profile.name}.sh",
                        devices=" ".join(devices))  # fmt: skip


def _kind(setting: ProfileSetting) -> str:
    knob = knob_for(setting.setting)
    return knob.kind if knob else next(iter(KNOBS))
