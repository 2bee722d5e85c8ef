"""Which settings of a kept change are lines of /etc/network/interfaces, and which our script sets. Pure."""

import pytest

from results.errors import NotAble
from tuning.applying import ifupdown
from tuning.applying.ifupdown import File
from tuning.knobs.knob import Change

TEXT = """\
auto lo
iface lo inet loopback

iface eno1 inet manual
\tmtu 1500

iface eno2 inet manual

auto vmbr0
iface vmbr0 inet static
\taddress 192.0.2.1/24
\tbridge_ports eno1

auto vmbr0.5
iface vmbr0.5 inet manual

auto bond0
iface bond0 inet manual
\tbond-slaves eno3
\tbond-mode 802.3ad

iface eno3 inet manual
"""
MTU = {"mtu": "9000"}
FACTS = {"mtu": "link/{}/mtu", "tso": "feature/{}/tx-tcp-segmentation", "gro": "feature/{}/rx-gro",
         "txqueuelen": "link/{}/txqlen", "xmit_hash_policy": "bond/{}/xmit_hash_policy"}  # fmt: skip


def kept(device: str, file: File, settings: dict[str, str], texts: dict[str, str] | None = None) -> list[str]:
    """The lines of these settings of a device."""
    changes = [Change("pve1", FACTS[word].format(device), value) for word, value in settings.items()]
    found = ifupdown.placed(tuple(settings.items()), changes, file, texts or {ifupdown.FILE: file.text})
    return [f"{each.device} {each.name} {each.value}" for each in found]


@pytest.mark.parametrize(
    ("device", "settings", "lines"),
    [
        ("eno1", {"mtu": "9000", "tso": "off", "gro": "on", "txqueuelen": "2000"}, ["mtu 9000", "tso-offload off"]),
        ("eno1", {"tso": "on"}, []),  # which ifupdown2 passes over
        ("eno2", {"mtu": "9000"}, []),  # nobody brings it up
        ("eno4", {"mtu": "9000"}, []),  # no stanza
        ("vmbr0", {"mtu": "9000", "tso": "off"}, ["mtu 9000"]),  # no hardware
        ("vmbr0.5", {"mtu": "1400"}, []),  # a VLAN's is refused where its device's is lower at that moment
        ("eno3", {"mtu": "9000"}, []),  # a bond gives its own to its legs
        ("bond0", {"mtu": "9000", "xmit_hash_policy": "layer3+4"}, ["mtu 9000", "bond-xmit-hash-policy layer3+4"]),
    ],
)
def test_a_line_is_written_where_ifupdown2_surely_sets_it(
    device: str, settings: dict[str, str], lines: list[str]
) -> None:
    """All else is our script's."""
    assert kept(device, File(TEXT), settings) == [f"{device} {line}" for line in lines]


def test_what_somebody_elses_line_sets_later_is_our_scripts() -> None:
    """A command of the stanza, a file beside it; a line of the option itself is written anew."""
    command = File(TEXT.replace("\tmtu 1500\n", "\tmtu 1500\n\tpost-up ip link set eno1 mtu 9000\n"))
    beside = {ifupdown.FILE: TEXT, "/etc/network/interfaces.d/mine": "iface eno1 inet manual\n mtu 1500\n"}

    assert kept("eno1", File(TEXT), MTU) == ["eno1 mtu 9000"]
    assert kept("eno1", command, MTU) == []
    assert kept("eno1", File(TEXT), MTU, beside) == []
    for bridge in ("\tbridge_ports eno1\n\tpost-up ip link set eno1 mtu 9000\n", "\tbridge_ports eno1\n"):
        above = File(TEXT.replace("\tbridge_ports eno1\n", bridge))
        assert kept("eno1", above, MTU) == ([] if "post-up" in bridge else ["eno1 mtu 9000"])


def test_what_an_earlier_changes_script_sets_stays_with_the_script() -> None:
    """It would set the earlier value after the line; one that is a line itself is written anew."""
    held = frozenset({"link/eno1/mtu"})

    assert kept("eno1", File(TEXT, held=held), MTU) == []
    assert kept("eno1", File(TEXT, held=held, ours=frozenset({("eno1", "mtu")})), MTU) == ["eno1 mtu 9000"]


def test_ifquery_that_finds_the_device_otherwise_leaves_it_to_our_script() -> None:
    """`ifquery --check` of ifupdown2 3.0; it says nothing of offloads, and nothing of what it cannot read."""
    told = "device eno1\niface eno1 inet manual   [fail]\n\tmtu 1400      [fail]\n\ndevice eno2\n"
    (mtu,) = ifupdown.placed((("mtu", "1400"),), (Change("pve1", "link/eno1/mtu", "1400"),), File(TEXT), {})
    (tso,) = ifupdown.placed((("tso", "off"),), (Change("pve1", FACTS["tso"].format("eno1"), "off"),), File(TEXT), {})

    assert [ifupdown._found(each, told) for each in (mtu, tso)] == [False, True]
    assert ifupdown._found(mtu, told.replace("fail", "pass"))
    assert not ifupdown._found(tso, "device eno1\n")


def test_a_file_that_is_another_than_the_one_that_was_shown_is_left_alone() -> None:
    """By its digest; so is one beside which edits wait."""
    shown = File(TEXT)
    ifupdown.undisturbed("pve1", shown, shown.digest)

    with pytest.raises(NotAble, match="somebody has changed /etc/network/interfaces since it was read"):
        ifupdown.undisturbed("pve1", File(f"{TEXT}# theirs\n"), shown.digest)
    with pytest.raises(NotAble, match=r"interfaces\.new is there"):
        ifupdown.undisturbed("pve1", File(TEXT, waiting=True))
