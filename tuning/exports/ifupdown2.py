"""A profile as options of devices in /etc/network/interfaces: lines to put there, or the whole file with them. Pure."""

from tuning.exports import interfaces
from tuning.exports.comments import comment
from tuning.profile import Profile, ProfileSetting


class NoStanzaError(Exception):
    """The file has no `iface` line for a device; the message names those that it has."""


def options(profile: Profile, devices: tuple[str, ...]) -> str:
    """The lines of each device, for its stanza; what is none of it as comments."""
    lines = [
        *comment(f"nettune profile {profile.name}: {profile.label}."),
        *comment("Options of ifupdown2 for stanzas that are there; --interfaces FILE edits a copy of the file itself. "
                 "They come into force with `ifreload -a`, which applies everybody's changes to the file."),
        *_left(profile, devices),
    ]  # fmt: skip
    for device in devices:
        wanted, commands = _of(profile, device)
        lines += [f"# below `iface {device} ...`:", *(f"\t{name} {value}" for name, value in wanted.items()),
                  *(f"\tpost-up {each}" for each in commands)]  # fmt: skip
    return "\n".join(lines) + "\n"


def edited(profile: Profile, devices: tuple[str, ...], text: str) -> str:
    """That file with the profile's options; every other line byte for byte. Raises NoStanzaError."""
    for device in devices:
        try:
            text = interfaces.edited(text, device, *_of(profile, device))
        except KeyError:
            there = dict.fromkeys(each.device for each in interfaces.options(text))
            raise NoStanzaError(
                f"no `iface {device}` in it; those with options: {', '.join(there) or 'none'}"
            ) from None
    return text


def _of(profile: Profile, device: str) -> tuple[dict[str, str], list[str]]:
    wanted, commands = dict[str, str](), list[str]()
    for each in profile.settings:
        value = " ".join(each.value.split())
        if found := interfaces.attribute(each.setting, value):
            wanted[found[0]] = found[1]
        elif made := interfaces.command(each.setting, value, device):
            commands.append(made)
    return wanted, commands


def _left(profile: Profile, devices: tuple[str, ...]) -> list[str]:
    left = [each for each in profile.settings if not _kept(each, devices)]
    told = [f"{each.setting} = {each.value}: no option of a device: --format sysctl.d, shell" for each in left]
    return [line for each in told for line in comment(each)]


def _kept(setting: ProfileSetting, devices: tuple[str, ...]) -> bool:
    value = " ".join(setting.value.split())
    return bool(
        interfaces.attribute(setting.setting, value) or interfaces.command(setting.setting, value, "".join(devices[:1]))
    )
