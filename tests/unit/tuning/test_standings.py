"""How the settings of a profile stand on hosts and labs: what becomes of each, and which are worth an arm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.plan import SettingSpec
from tests.unit.tuning import kernel
from tuning.bearing import lowers
from tuning.knobs.table import knob_for
from tuning.profile import Profile, ProfileSetting
from tuning.standings import Reading, as_treatment, of_host, of_lab, standings

FACTS = {
    "sysctl/net.ipv4.tcp_rmem": "4096 131072 33554432",
    "sysctl/net.ipv4.tcp_wmem": "4096 16384 4194304",
    "sysctl/net.core.somaxconn": "4096",
    "sysctl/net.ipv4.tcp_congestion_control": "cubic",
    "sysctl/net.ipv4.tcp_allowed_congestion_control": "reno cubic",
    "feature/eth0/tx-tcp-segmentation": "on",
    "feature/eth0/tx-tcp6-segmentation": "on",
    "feature/eth0/rx-lro": "off [fixed]",
    "feature/eth1/rx-gro": "on",
    "link/eth0/mtu": "1500",
    "link/eth1/mtu": "9000",
    "sysctl/net.core.netdev_max_backlog": "1000",
    "ring/eth0/rx": "256",
    "cpu/policy0/scaling_governor": "powersave",
    "cpu/policy1/scaling_governor": "performance",
    "ring/eth0/rx-most": "1024",
}


def _profile(setting: str, value: str) -> Profile:
    return Profile("p", "candidate", (ProfileSetting(setting, value, "guest"),))


CASES = {
    "larger": ("net.ipv4.tcp_wmem", "4096 16384 16777216", "changes", ""),
    "smaller": ("net.ipv4.tcp_rmem", "4096 87380 16777216", "lowers a maximum", "which stands there now"),
    "the same": ("net.core.somaxconn", "4096", "already so", "4096"),
    "the same with other blanks": ("net.ipv4.tcp_wmem", "4096  16384 4194304", "already so", ""),
    "no such sysctl": ("net.core.busy_read", "50", "not there", "host has no /proc/sys/net/core/busy_read"),
    "not offered": ("congestion_control", "bbr", "not there", "host may choose among reno cubic only"),
    "offered": ("congestion_control", "reno", "changes", ""),
    "a group of features": ("tso", "off", "changes", ""),
    "a group that is so": ("tso", "on", "already so", ""),
    "fixed": ("lro", "on", "not there", "no lro that can be set on host/eth0"),
    "another device's": ("gro", "off", "not there", "no gro that can be set on host/eth0"),
    "of its own device": ("mtu", "9000", "changes", ""),
    "a ring": ("rx-ring", "1024", "changes", ""),
    "CPUs, of no device": ("scaling_governor", "performance", "changes", ""),
    "no such file of CPUs": ("energy_performance_preference", "performance", "not there", "on a machine of its own"),
    "more than a driver takes": ("rx-ring", "4096", "not there", "host/eth0 takes at most 1024"),
}


@pytest.mark.parametrize(("setting", "value", "word", "why"), CASES.values(), ids=CASES)
def test_a_setting_stands_so_and_says_why(setting: str, value: str, word: str, why: str) -> None:
    """On one host with the device eth0 in question."""
    (found,) = standings(_profile(setting, value), of_host("host", FACTS, ["eth0"]))

    assert found.word == word
    assert why in found.why


def test_what_acts_on_own_sockets_is_left_out_where_guests_are_the_ends() -> None:
    """No effect by design; what acts on all that passes stays."""
    mixed = Profile("p", "published", (ProfileSetting("net.ipv4.tcp_wmem", "4096 16384 16777216", "guest"),
                                       ProfileSetting("tso", "off", "guest")))  # fmt: skip
    found = as_treatment(mixed, of_host("host", FACTS, ["eth0"]), ends_on_host=False)

    assert found.settings == (SettingSpec("tso", "off", "guest"),)
    ((where, why),) = found.skipped
    assert where == ("net.ipv4.tcp_wmem", "guest")
    assert why.startswith("no effect by design: it acts on sockets that end on the machine itself")


def test_a_lab_is_asked_target_by_target() -> None:
    """Sysctls of both ends, features of every device that counts; a path without a node has nothing there."""
    bridged, direct = kernel.lab(), kernel.lab("direct")
    asked = Profile("p", "candidate", (
        ProfileSetting(kernel.RMEM, "4096 131072 16777216", "guest"),
        ProfileSetting("tso", "off", "path"),
        ProfileSetting("gso", "off", "node"),
    ))  # fmt: skip
    found = standings(asked, of_lab(bridged, bridged.read()))
    without = as_treatment(asked, of_lab(direct, direct.read()))

    assert [each.word for each in found] == ["changes"] * 3
    assert set(found[0].now) == {f"a sysctl/{kernel.RMEM}", f"b sysctl/{kernel.RMEM}"}
    assert {key.split()[0] for key in found[1].now} == {"a", "b", "node"}
    assert not [key for key in found[1].now if "br0" in key]
    assert without.skipped == ((("gso", "node"), "not there: this path has no device on the target 'node'"),)


def test_one_end_that_stands_higher_keeps_the_setting_out() -> None:
    """A maximum is lowered on no host."""
    lab = kernel.lab()
    lab.kernels[1].facts[f"sysctl/{kernel.RMEM}"] = "4096 131072 33554432"
    (found,) = standings(_profile(kernel.RMEM, "4096 131072 16777216"), of_lab(lab, lab.read()))

    assert found.word == "lowers a maximum"


NUMBERS = st.integers(1, 2**30).map(str)
ANY = st.one_of(
    st.tuples(st.just("net.core.somaxconn"), NUMBERS),
    st.tuples(st.sampled_from(["tso", "gro", "lro"]), st.sampled_from(["on", "off"])),
    st.tuples(st.just("rx-ring"), st.integers(1, 8192).map(str)),
    st.tuples(st.just("mtu"), st.integers(1280, 9000).map(str)),
    st.tuples(st.just("net.ipv4.tcp_rmem"), st.integers(131072, 2**30).map(lambda most: f"4096 131072 {most}")),
)


@given(
    st.lists(ANY, max_size=6, unique_by=lambda each: each[0]), st.dictionaries(st.sampled_from(sorted(FACTS)), NUMBERS)
)
def test_every_setting_is_treated_or_named_and_none_lowers_a_maximum(
    asked: list[tuple[str, str]], facts: dict[str, str]
) -> None:
    """Whatever a host tells: nothing is lost, nothing that is kept stands there already or stands higher."""
    profile = Profile("p", "candidate", tuple(ProfileSetting(setting, value, "path") for setting, value in asked))
    readings = of_host("host", facts, ["eth0"])
    found = as_treatment(profile, readings)

    assert [each.setting for each in found.settings] + [where[0] for where, _ in found.skipped] == sorted(
        (setting for setting, _ in asked), key=lambda word: word in {where[0] for where, _ in found.skipped}
    )
    assert all(why for _, why in found.skipped)
    for each in standings(profile, readings):
        if SettingSpec(each.setting.setting, each.setting.value, "path") in found.settings:
            knob = knob_for(each.setting.setting)
            assert knob is not None
            assert each.now
            assert not any(lowers(each.setting.setting, each.setting.value, value) for value in each.now.values())
            assert not all(knob.holds(each.setting.value, value) for value in each.now.values())


def test_a_reading_of_no_device_has_no_device_setting() -> None:
    """A host whose devices are none in question."""
    readings = {"guest": [Reading("a", FACTS)], "node": [], "path": []}
    (found,) = standings(_profile("mtu", "9000"), readings)  # type: ignore[arg-type]  # the words are targets

    assert found.word == "not there"


def test_a_namespace_has_no_cpus_to_set() -> None:
    """It sees the machine's own, as a run would say when it refused."""
    facts = {key: value for key, value in FACTS.items() if key != "sysctl/net.core.netdev_max_backlog"}
    (found,) = standings(_profile("scaling_governor", "performance"), of_host("inside", facts, ["eth0"]))

    assert found.word == "not there"
    assert "a namespace has the machine's CPUs" in found.why
