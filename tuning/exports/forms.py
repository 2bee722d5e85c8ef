"""Forms: every format in which a profile can leave, by the word of `--format`. Pure, but for what asks a host."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bench.hosts.host import Host
from results.errors import WrongInput
from tuning.exports import ansible, ifupdown2, networkd, overriding, shell, sysctl_d, tuned
from tuning.exports.overriding import Met
from tuning.profile import Profile

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DEVICE = re.compile(r"[^\s/'\"$`\\]{1,15}")  # dev_valid_name, net/core/dev.c, and nothing that a shell would read


@dataclass(frozen=True, slots=True)
class Form:
    """`devices`: how many must be named. `made` gives the files by path; with several, a folder is needed.

    `warning` is told whenever it is made.
    """

    about: str
    made: Callable[[Profile, tuple[str, ...]], Mapping[str, str]]
    devices: int = 0
    warning: str = ""


FORMS: Mapping[str, Form] = {
    "sysctl.d": Form("sysctls for /etc/sysctl.d", lambda profile, _: {overriding.NAME: sysctl_d.sysctl_d(profile)}),
    "shell": Form("a script with its own undo", lambda profile, _: {f"{profile.name}.sh": shell.script(profile)}),
    "unit": Form(
        "a systemd unit, and the script that it runs at boot",
        lambda profile, devices: {
            f"nettune-profile-{profile.name}.service": shell.unit(profile, devices),
            f"{profile.name}.sh": shell.script(profile),
        },
    ),
    "ifupdown2": Form(
        "options for /etc/network/interfaces",
        lambda profile, devices: {"interfaces": ifupdown2.options(profile, devices)},
        devices=1,
    ),
    "tuned": Form("a profile for tuned", lambda profile, devices: {"tuned.conf": tuned.tuned_conf(profile, devices)}),
    "link": Form(
        "a .link file for udev",
        lambda profile, devices: {
            f"10-nettune-{device}.link": networkd.link_file(profile, device) for device in devices
        },
        devices=1,
        warning=networkd.WARNING,
    ),
    "ansible": Form("a role and a playbook", ansible.role),
}


def made(profile: Profile, word: str, devices: tuple[str, ...]) -> Mapping[str, str]:
    """The files of a format. Raises WrongInput for one that is none, devices that it needs, and names that break it."""
    if word not in FORMS:
        raise WrongInput(f"--format {word!r} is none", hint=", ".join(FORMS))
    for device in devices:
        if not _DEVICE.fullmatch(device):
            raise WrongInput(f"--device {device!r} names no network device", hint="`ip -br link` lists them")
    if len(devices) < FORMS[word].devices:
        raise WrongInput(f"--format {word} is of a device", hint="--device eno1, once for each")
    if word == "unit" and not devices and shell.of_devices(profile):
        raise WrongInput("--format unit names the devices that it sets", hint="--device eno1, once for each")
    if not _NAME.fullmatch(profile.name):
        raise WrongInput(f"the profile's name {profile.name!r} cannot be that of a file",
                         hint="its `name:` takes letters, digits, dot, dash and underscore")  # fmt: skip
    return FORMS[word].made(profile, devices)


def interfaces(profile: Profile, devices: tuple[str, ...], text: str) -> str:
    """/etc/network/interfaces with the profile's options. Raises WrongInput."""
    made(profile, "ifupdown2", devices)
    try:
        return ifupdown2.edited(profile, devices, text)
    except ifupdown2.NoStanzaError as error:
        raise WrongInput(str(error), hint="a device that it does not bring up is not its to set") from error


def for_host(profile: Profile, host: Host) -> tuple[str, Met]:
    """The file of sysctl.d for one host, which is asked, and what it met there. Raises WrongInput, HostFault."""
    made(profile, "sysctl.d", ())
    met = overriding.met(host, profile)
    return sysctl_d.sysctl_d(profile, met), met
