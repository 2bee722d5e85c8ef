"""Profiles: what is written is read again; what a hand made wrong is named by line and key."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bench import document
from results.errors import WrongInput
from results.records import Judgement
from tests.unit.results.example import comparison, example_run
from tuning.fits import ROLES, Fits, Speed
from tuning.profile import FORMAT, TARGETS, NotSettable, Profile, ProfileSetting, Rejected, load, parse
from tuning.profile_text import as_mapping, dump, edited, text
from tuning.recommend import recommend

GOOD = """\
format: 1
name: mine
status: candidate
settings:
  - {setting: tso, value: off, target: path}
  - setting: net.ipv4.tcp_rmem
    value: 4096 131072 6291456
    target: guest
"""


def _parse(content: str) -> Profile:
    return parse(document.read(content, "mine.yaml"))


MACHINE = {"kernel": "Linux 6.12.9 #1 SMP x86_64", "virtualisation": "kvm"}


def _written(machine: Mapping[str, str] = MACHINE, target: str = "path") -> str:
    run = replace(
        example_run(),
        run_id="r1",
        settings={"t": (
            {"setting": "tso", "value": "off", "target": target, "was": "on"},
            {"setting": "net.ipv4.tcp_rmem", "value": "4096 16384 16384", "target": "guest", "was": "4096 131072 1"},
        )},
        notes=("Measured between namespaces: nothing of it transfers.",),
        machine=machine,
    )  # fmt: skip
    best = replace(comparison("bridge", "tcp.goodput",
        "t"), primary=True, verdict="better", candidate=True, effect_pct=9.0,
                   ci_low_pct=8.0, ci_high_pct=10.0)  # fmt: skip
    return text(run, recommend(run, Judgement((best,), (), ())))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Settings, values and targets as they were recommended."""
    (tmp_path / "profile.yaml").write_text(_written(), encoding="utf-8")

    found = load(tmp_path / "profile.yaml")

    assert (found.name, found.status) == (f"{example_run().plan_name}-r1", "candidate")
    assert [(each.setting, each.value, each.target) for each in found.settings] == [
        ("tso", "off", "path"),
        ("net.ipv4.tcp_rmem", "4096 16384 16384", "guest"),
    ]
    assert found.settings[1].effect_pct == 9.0
    assert found.fits == Fits(">= 6.12", "on")
    assert (found.settings[1].scope, found.settings[1].disruption) == ("namespace", "d1")
    assert found.settings[1].persist == (
        "net.ipv4.tcp_rmem = 4096 16384 16384 in /etc/sysctl.d/90-nettune.conf (a file later in the alphabet wins)"
    )
    assert load(tmp_path / "profile.yaml") == parse(document.read(dump(found), "again"))


def test_what_was_measured_between_guests_is_for_kernels_like_theirs() -> None:
    """Not for the machine's that they ran on, unless something was set between them."""
    machine = {**MACHINE, "virtualisation": "none", "guest kernel": "6.1.0-50-cloud-amd64"}
    inside, between = (_parse(_written(machine, target)) for target in ("guest", "node"))

    assert (inside.fits, between.fits) == (Fits(">= 6.1", "on"), Fits(">= 6.12", "off"))
    assert inside.measured_on is not None
    assert inside.measured_on["guest kernel"] == "6.1.0-50-cloud-amd64"


STANDING = {
    **MACHINE,  # of the machine that drove them
    "kernel of a": "6.8.12-4-pve", "virtualisation of a": "none", "driver of eno1 on a": "ixgbe",
    "speed of eno1 on a": "10000", "kernel of b": "6.11.0-1-pve", "virtualisation of b": "none",
    "driver of ens1 on b": "i40e", "speed of ens1 on b": "10000", "kernel of switch": "6.1.0-9",
    "virtualisation of switch": "none", "driver of p1 on switch": "mlx5_core", "speed of p1 on switch": "25000",
}  # fmt: skip


def test_what_was_measured_between_machines_that_stand_is_for_kernels_and_nics_like_theirs() -> None:
    """Not for those of the machine that drove them; NICs are asked for where a setting is of devices (tso is)."""
    ends, path, node = (_parse(_written(STANDING, target)).fits for target in ("guest", "path", "node"))

    assert ends == Fits(">= 6.8", "off", ("i40e", "ixgbe"), Speed(10_000, 25_000))
    assert path == Fits(">= 6.1", "off", ("i40e", "ixgbe", "mlx5_core"), Speed(10_000, 40_000))
    assert node == Fits(">= 6.1", "off", ("mlx5_core",), Speed(25_000, 40_000))


def test_a_speed_that_a_hypervisor_made_up_is_no_rule_and_mixed_machines_are_neither_virtual_nor_not() -> None:
    """A paravirtual NIC has a driver; its speed is a constant."""
    mixed = {**STANDING, "virtualisation of b": "kvm"}
    virtual = {**MACHINE, "driver of eth0 on a": "vmxnet3", "speed of eth0 on a": "10000"}

    assert _parse(_written(mixed, "guest")).fits.virtual == ""
    assert _parse(_written(virtual, "guest")).fits == Fits(">= 6.12", "on", ("vmxnet3",))


def test_a_sysctl_that_was_measured_asks_for_no_nic() -> None:
    """Buffers are sized by rate and round trip; whose NIC it is says nothing."""
    alone = {"setting": "net.ipv4.tcp_rmem", "value": "4096 16384 16384", "target": "guest", "was": "4096 131072 1"}
    run = replace(example_run(), settings={"t": (alone,)}, machine=STANDING)
    best = replace(comparison("bridge", "tcp.goodput", "t"), primary=True, verdict="better", candidate=True,
                   effect_pct=9.0, ci_low_pct=8.0, ci_high_pct=10.0)  # fmt: skip
    found = _parse(text(run, recommend(run, Judgement((best,), (), ()))))

    assert found.fits == Fits(">= 6.8", "off")


def test_a_profile_holds_reason_evidence_and_the_way_back() -> None:
    """A reader a year later needs no other file."""
    first = yaml.safe_load(_written())["settings"][0]

    assert first["undo"] == "ethtool -K DEVICE tso on"
    assert (first["run"], first["effect_pct"], first["interval_pct"]) == ("r1", 9.0, [8.0, 10.0])
    assert first["value"] == "off"
    assert yaml.safe_load(_written())["transfer"] == ["Measured between namespaces: nothing of it transfers."]


def test_a_profile_of_nothing_is_a_profile() -> None:
    """Change nothing is an answer that can be kept, and read."""
    run = replace(example_run(), settings={})
    content = text(run, recommend(run, Judgement((), (), ())))

    assert _parse(content).settings == ()
    assert _parse(content).status == "nothing"


def test_yamls_on_and_off_are_the_knobs() -> None:
    """A hand may write true, yes or off without quotes."""
    assert _parse(GOOD.replace("value: off", "value: No")).settings[0] == ProfileSetting("tso", "off", "path")


BAD = {
    "no settings": ("settings:", "setting:", "mine.yaml:4: unknown key 'setting'", "did you mean 'settings'?"),
    "no name": ("name: mine\n", "", "mine.yaml:1: the profile has no 'name'", ""),
    "newer": ("format: 1", "format: 4", "mine.yaml:1: format: this profile is of a newer format", "update nettune"),
    "no format": ("format: 1", "format: one", "mine.yaml:1: format: 'one' is no number", ""),
    "unknown status": ("status: candidate", "status: sure",
        "status: 'sure' is none of nothing, candidate, confirmed", ""),
    "no target": (", target: path", "", "mine.yaml:5: settings[0]: it has no 'target'", ""),
    "unknown target": ("target: guest", "target: gest", "mine.yaml:8: settings[1].target: 'gest' is none of guest",
                       "did you mean 'guest'?"),
    "unknown setting": ("setting: tso", "setting: tsoo", "mine.yaml:5: settings[0].setting: 'tsoo' is no knob",
                        "did you mean 'tso'?"),
    "bad value": ("4096 131072 6291456", "4096", "mine.yaml:7: settings[1].value: net.ipv4.tcp_rmem takes three", ""),
    "unknown key": ("target: guest", "where: guest", "mine.yaml:8: settings[1]: unknown key 'where'", ""),
    "settings are words": ("settings:\n", "settings: tso\nrejected:\n", "settings: a list belongs here", ""),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words", "hint"), BAD.values(), ids=BAD)
def test_a_bad_profile_names_place_key_and_hint(old: str, new: str, words: str, hint: str) -> None:
    """One slip in a good profile; the error leads to it."""
    assert GOOD.count(old) == 1
    with pytest.raises(WrongInput) as raised:
        _parse(GOOD.replace(old, new))

    assert words in str(raised.value)
    assert hint in raised.value.hint


# What the first release wrote: every key of format 1.
OLD = """\
# Written by nettune. Applied in the order MTU, offloads, sysctls; `undo` is each one's way back.
format: 1
name: quick-20261124-101112-ab12
status: confirmed
sentence: 'Confirmed on fresh blocks: t tcp.goodput +9.0 % [+8.0, +10.0], 12 blocks on bridge.'
run: 20261124-101112-ab12
confirms: 20261124-100000-cd34
measured_on: {kernel: Linux 6.12, cpuinfo: '', os: Debian, virtualisation: kvm}
transfer: [nothing]
guards_not_resolved: [latency.rtt_p99]
next_command: ''
settings:
- {setting: mtu, value: '9000', target: path, was: '1500', status: confirmed, reason: better, effect_pct: 9.0,
   interval_pct: [8.0, 10.0], blocks: 12, run: r, topology: bridge, metric: tcp.goodput, treatment: t, risk: some,
   do: ip link, undo: ip link}
rejected:
- {what: u on bridge, why: worse}
"""


def test_a_profile_of_the_first_format_is_read_as_before() -> None:
    """Every key of it, and written again in the format of today."""
    found = _parse(OLD)

    assert (found.status, found.confirms) == ("confirmed", "20261124-100000-cd34")
    assert found.settings[0].interval_pct == (8.0, 10.0)
    assert found.rejected[0].what == "u on bridge"
    assert yaml.safe_load(dump(found))["format"] == FORMAT
    assert _parse(dump(found)) == found


PUBLISHED = """\
format: 2
name: theirs
status: published
source: somebody's guide, 2024
fits: {virtual: off, role: [pve-node]}
settings:
  - {setting: net.core.somaxconn, value: 4096, target: guest, trigger: listen queues overflow,
     stated_effect: none stated}
not_settable:
  - {words: vm.swappiness = 10, why: memory}
"""


def test_what_is_published_says_so() -> None:
    """Its label, its source for all settings, its rules, and what nettune does not turn."""
    found = _parse(PUBLISHED)

    assert found.label == "published, not measured on your host"
    assert (found.fits.virtual, found.fits.role) == ("off", ("pve-node",))
    assert found.not_settable[0].words == "vm.swappiness = 10"
    assert found.own_sockets == ("net.core.somaxconn",)


AGAIN = "  - {setting: net.core.somaxconn, value: 1, target: guest, trigger: x, stated_effect: y}"
UNCITED = {
    "no source": ("source: somebody's guide, 2024\n", "", "settings[0]: a published setting needs 'source'"),
    "no trigger": (" trigger: listen queues overflow,", "", "settings[0]: a published setting needs 'trigger'"),
    "no effect": (",\n     stated_effect: none stated", "", "settings[0]: a published setting needs 'stated_effect'"),
    "a measured effect": ("target: guest,", "target: guest, effect_pct: 9,", "effect_pct: what is published was not"),
    "a number of runs": ("target: guest,", "target: guest, blocks: 12,", "blocks: what is published was not measured"),
    "no words": ("words: vm.swappiness = 10, ", "", "not_settable[0]: it has no 'words'"),
    "an unknown scope": ("target: guest,", "target: guest, scope: hosts,", "scope: 'hosts' is none of namespace"),
    "an unknown disruption": ("target: guest,", "target: guest, disruption: d9,", "'d9' is none of d0, d1"),
    "an interval of one": ("target: guest,", "target: guest, interval_pct: [1],", "an interval is two numbers"),
    "an interval that is turned": ("target: guest,", "target: guest, interval_pct: [2, 1],", "the lower first"),
    "set twice": ("not_settable:", f"{AGAIN}\nnot_settable:",
                  "mine.yaml:9: settings[1].setting: net.core.somaxconn on guest is set twice"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words"), UNCITED.values(), ids=UNCITED)
def test_what_is_published_without_a_source_or_with_a_gain_is_refused(old: str, new: str, words: str) -> None:
    """Nothing published passes for a fact, nothing measured for published."""
    assert PUBLISHED.count(old) == 1
    with pytest.raises(WrongInput, match=r"mine\.yaml:[0-9]+: ") as raised:
        _parse(PUBLISHED.replace(old, new))

    assert words in str(raised.value)


def test_a_file_that_a_hand_has_edited_is_known() -> None:
    """One letter, one comment: it is theirs. What nettune wrote is not, nor is that of the first format."""
    written = _written()

    assert not edited(written)
    assert edited(written.replace("9.0", "19.0", 1))
    assert edited(written + "# mine\n")
    assert edited(PUBLISHED)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
PCT = st.floats(-100, 1e6, allow_nan=False)
SETTINGS = st.sampled_from([
    ("tso", "off"), ("mtu", "9000"), ("net.ipv4.tcp_rmem", "4096 131072 6291456"), ("congestion_control", "bbr"),
    ("net.core.somaxconn", "4096"), ("qdisc", "pfifo limit 200"), ("rx-ring", "4096"), ("rps_cpus", "ff"),
    ("threaded", "on"), ("vm-queues", "4"),
])  # fmt: skip
TARGET = st.sampled_from(TARGETS)


@st.composite
def a_setting(draw: st.DrawFn) -> ProfileSetting:
    """Any setting that a file could hold, measured or published."""
    setting, value = draw(SETTINGS)
    cited = {"source": "a guide", "trigger": draw(WORDS) or "x", "stated_effect": "none stated"}
    low = draw(PCT)
    measured: dict[str, Any] = {  # Any: one field each
        "status": draw(st.sampled_from(["", "candidate", "confirmed"])),
        "effect_pct": draw(st.none() | PCT),
        "interval_pct": draw(st.none() | st.floats(low, 1e7, allow_nan=False).map(lambda high: (low, high))),
        "blocks": draw(st.none() | st.integers(0, 1000)),
        "run": draw(WORDS),
    }
    return ProfileSetting(
        setting, value, draw(TARGET), was=draw(WORDS), reason=draw(WORDS), risk=draw(WORDS), undo=draw(WORDS),
        scope=draw(st.sampled_from(["", "host", "device"])), disruption=draw(st.sampled_from(["", "d0", "d7"])),
        **({**cited, "status": "published"} if draw(st.booleans()) else measured),
    )  # fmt: skip


@st.composite
def a_profile(draw: st.DrawFn) -> Profile:
    """Any profile that a file could hold."""
    settings = draw(st.lists(a_setting(), max_size=4, unique_by=lambda each: (each.setting, each.target)))
    speeds = st.just(Speed()) | st.integers(1, 1000).map(Speed) | st.integers(1, 1000).map(lambda top: Speed(0, top))
    return Profile(
        draw(WORDS), draw(st.sampled_from(["nothing", "candidate", "confirmed"])), tuple(settings),
        about=draw(WORDS), source=draw(WORDS), acts_on=draw(WORDS), sentence=draw(WORDS),
        fits=Fits(
            draw(st.sampled_from(["", ">= 6.8"])), draw(st.sampled_from(["", "on", "off"])),
            tuple(draw(st.lists(WORDS, max_size=2, unique=True))), draw(speeds),
            tuple(draw(st.lists(st.sampled_from(sorted(ROLES)), max_size=2, unique=True))),
        ),
        measured_on=draw(st.none() | st.dictionaries(WORDS, WORDS, max_size=2)),
        transfer=tuple(draw(st.lists(WORDS, max_size=2))),
        not_settable=tuple(draw(st.lists(st.builds(NotSettable, WORDS, WORDS, WORDS), max_size=2))),
        rejected=tuple(draw(st.lists(st.builds(Rejected, WORDS, WORDS), max_size=2))),
        told=tuple(draw(st.lists(WORDS, max_size=2))),
    )  # fmt: skip


@given(a_profile())
def test_whatever_is_written_is_read_again_and_written_the_same(profile: Profile) -> None:
    """Load, dump, load: equal; and nettune knows its own file."""
    written = dump(profile)

    assert _parse(written) == profile
    assert dump(_parse(written)) == written
    assert not edited(written)
    assert as_mapping(_parse(written)) == as_mapping(profile)


@given(st.sampled_from([GOOD, OLD, PUBLISHED]), st.integers(0, 2000), st.text(max_size=3))
def test_a_file_with_any_slip_is_a_profile_or_wrong_input(content: str, place: int, junk: str) -> None:
    """No other error, wherever a few letters are typed over."""
    at = place % len(content)
    with contextlib.suppress(WrongInput):
        _parse(content[:at] + junk + content[at + 2 :])


def test_a_profile_that_is_not_there_is_wrong_input(tmp_path: Path) -> None:
    """A missing file, a file that is no text, an empty one."""
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    (tmp_path / "empty").write_text("", encoding="utf-8")
    with pytest.raises(WrongInput, match="No such file"):
        load(tmp_path / "none.yaml")
    with pytest.raises(WrongInput, match="it is no text"):
        load(tmp_path / "bytes")
    with pytest.raises(WrongInput, match="empty:1: the file is empty"):
        load(tmp_path / "empty")
