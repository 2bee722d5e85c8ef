"""/etc/network/interfaces read and edited: what counts as whose option, and that nothing else changes by a byte."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.exports import interfaces
from tuning.exports.ifupdown2 import NoStanzaError, edited
from tuning.profile import Profile, ProfileSetting

# As Proxmox VE writes it, comments after options; and one option over two lines.
FILE = """\
# network interface settings
auto lo
iface lo inet loopback

iface eno1 inet manual
        mtu 1500
# the uplink

auto bond0
iface bond0 inet manual
        bond-slaves eno1 \\
                eno2
        bond-miimon 100
        bond-mode 802.3ad

auto vmbr0
iface vmbr0 inet static
        address 192.0.2.1/24
        gateway 192.0.2.254
        bridge-ports bond0
        bridge-stp off
        bridge-fd 0
iface vmbr0 inet6 static
        address 2001:db8::1/64

source /etc/network/interfaces.d/*
"""
BLANK = st.sampled_from(["", "\n", "# a comment\n", "  \n"])
WORD = st.text("abcdefgh0123456789-", min_size=1, max_size=8).filter(lambda each: each not in {"up", "vlan", "auto"})
OPTION = st.builds(
    "{}{} {}{}\n".format, st.sampled_from(["\t", "    ", " "]), WORD, WORD, st.sampled_from(["", " ", " # x"])
)
STANZA = st.builds(
    lambda device, options, after: f"iface {device} inet manual\n{''.join(options)}{after}",
    st.sampled_from(["eno1", "eno2", "vmbr0"]), st.lists(OPTION | BLANK, max_size=5), BLANK,
)  # fmt: skip
FILES = st.lists(STANZA, min_size=1, max_size=5).map("".join)


def profile(**settings: str) -> Profile:
    """A profile of these settings."""
    named = {name.replace("x_", "x-"): value for name, value in settings.items()}
    return Profile("mine", "published", tuple(ProfileSetting(*each, "path") for each in named.items()))


def test_options_are_told_by_device_and_line() -> None:
    """Comments are none, a line that goes on is one, `source` ends a stanza."""
    found = interfaces.options(FILE)

    assert [(each.number, each.name, each.value) for each in found if each.device == "bond0"] == [
        (11, "bond-slaves", "eno1                  eno2"), (13, "bond-miimon", "100"), (14, "bond-mode", "802.3ad"),
    ]  # fmt: skip
    assert [each.device for each in found if each.name == "address"] == ["vmbr0", "vmbr0"]
    assert [each.value for each in found if each.device == "eno1"] == ["1500"]


def test_an_edit_changes_its_lines_alone() -> None:
    """A value in place, what is new behind the last option of the first stanza, commands as post-up."""
    text = edited(profile(mtu="9000", tso="off", rx_ring="4096"), ("eno1",), FILE)
    bridge = edited(profile(mtu="9000", mcast_snooping="off", ageing_time="30000"), ("vmbr0",), FILE)

    assert text == FILE.replace(
        "        mtu 1500\n",
        "        mtu 9000\n        tso-offload off\n        post-up ethtool -G eno1 rx 4096 || true\n",
    )
    assert bridge == FILE.replace(
        "        bridge-fd 0\n",
        "        bridge-fd 0\n        mtu 9000\n        bridge-mcsnoop no\n        bridge-ageing 300\n",
    )


def test_an_edit_of_an_option_over_two_lines_leaves_one() -> None:
    """And the lines behind it as they were."""
    text = interfaces.edited(FILE, "bond0", {"bond-slaves": "eno1 eno3", "bond-miimon": "50"})

    assert "        bond-slaves eno1 eno3\n        bond-miimon 50\n        bond-mode 802.3ad\n" in text
    assert text.splitlines()[14:] == FILE.splitlines()[15:]


def test_a_device_without_a_stanza_is_told() -> None:
    """With those that it has."""
    with pytest.raises(NoStanzaError, match="no `iface eno9` in it; those with options: eno1, bond0, vmbr0"):
        edited(profile(mtu="9000"), ("eno9",), FILE)


@given(FILES, st.sampled_from(["eno1", "eno2", "vmbr0"]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_every_other_line_stays_byte_for_byte(text: str, device: str, ending: str, whole: bool) -> None:
    """Of any file: lines that came are the wanted ones, lines that went had their names; twice is once."""
    text = text.replace("\n", ending) if whole else text.replace("\n", ending).removesuffix(ending)
    ending = ending if ending in text else "\n"  # of one line without an end nobody can tell
    wanted = {"mtu": "9000", "tso-offload": "off"}
    commands = ("ethtool -G eno1 rx 4096 || true",)
    if not any(line.startswith(f"iface {device} ") for line in text.splitlines()):
        with pytest.raises(KeyError):
            interfaces.edited(text, device, wanted, commands)
        return
    after = interfaces.edited(text, device, wanted, commands)
    mine = [each for each in interfaces.options(after) if each.device == device]
    new = {"mtu 9000", "tso-offload off", f"post-up {commands[0]}"}

    assert {(each.name, each.value) for each in mine} >= {
        ("mtu", "9000"),
        ("tso-offload", "off"),
        ("post-up", commands[0]),
    }
    assert [line for line in after.splitlines(keepends=True) if line.strip() not in new] == [
        line if line.endswith(ending) or after.endswith(line) else line + ending
        for line in text.splitlines(keepends=True)
    ]
    assert interfaces.edited(after, device, wanted, commands) == after


def test_what_ifupdown2_brings_up_is_named_or_a_part_of_what_is() -> None:
    """A bridge's ports, a bond's legs, a VLAN's device; not what has a stanza and is asked for by nobody."""
    text = (
        "auto lo vmbr0\niface lo inet loopback\niface eno1 inet manual\niface eno2 inet manual\n"
        "iface eno9 inet manual\niface bond0 inet manual\n bond-slaves eno1 eno2\n"
        "iface vmbr0 inet static\n bridge_ports bond0.5 none\n"
    )

    assert interfaces.brought_up(text) == {"lo", "vmbr0", "bond0", "eno1", "eno2"}


@pytest.mark.parametrize(
    ("setting", "value", "found"),
    [
        ("tso", "off", ("tso-offload", "off")),
        ("tso", "on", None),  # ifupdown2 takes it to be on whatever it is
        ("gro", "off", None),  # and this by another device's
        ("mtu", "9000", ("mtu", "9000")),
    ],
)
def test_only_what_ifupdown2_surely_sets_is_an_attribute(
    setting: str, value: str, found: tuple[str, str] | None
) -> None:
    """addons/ethtool.py of ifupdown2 3.0; the rest is a command."""
    assert interfaces.attribute(setting, value) == found
