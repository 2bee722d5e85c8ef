"""What ships: every profile cites its sources and is found by its name; an anchor is what it is a copy of."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from results.errors import WrongInput
from tuning import profile, shelf
from tuning.bearing import acts_on, disruption, scope
from tuning.knobs.catalogue import chosen, entry
from tuning.knobs.table import check
from tuning.profile import CITED

TRANSCRIPTS = Path(__file__).parents[2] / "transcripts" / "tuned"
ROLES = {"pve-node-10g", "pve-node-25-100g", "virtual-guest", "guest-server", "storage-link", "nat-router",
         "wan-transfer", "latency"}  # fmt: skip
EVERY = {path.stem: path for _, path in shelf.listed(Path("/nonexistent"))}


def test_every_role_and_every_anchor_ships() -> None:
    """No name stands twice."""
    assert set(shelf.shipped()) == ROLES
    assert {"tuned-network-throughput", "tuned-network-latency", "tuned-virtual-host", "tuned-throughput-performance",
            "esnet-below-10g", "esnet-10g", "esnet-40g"} == set(shelf.anchors())  # fmt: skip
    assert len(EVERY) == len(shelf.shipped()) + len(shelf.anchors())


@pytest.mark.parametrize("name", EVERY)
def test_what_ships_is_published_with_source_trigger_and_stated_effect(name: str) -> None:
    """Never measured, and nothing in it says otherwise; scope and disruption are what nettune says of the knob."""
    found = profile.load(EVERY[name])

    assert (found.name, found.status, found.label) == (name, "published", "published, not measured on your host")
    assert found.about
    for each in found.settings:
        said = {key: getattr(each, key) or getattr(found, key, "") for key in CITED}
        assert all(said.values()), (each.setting, said)
        assert (each.effect_pct, each.interval_pct, each.blocks, each.run) == (None, None, None, "")
        assert (each.scope, each.disruption) == (scope(each.setting), disruption(each.setting)), each.setting
    for statement in found.not_settable:
        assert statement.why
        assert statement.source or found.source


@pytest.mark.parametrize("name", EVERY)
def test_what_acts_on_own_sockets_says_where_it_has_no_effect(name: str) -> None:
    """A profile with host TCP in it says so, unless it is for the guest itself."""
    found = profile.load(EVERY[name])
    of_sockets = [each for each in found.settings if acts_on(each.setting) == "own-sockets"]

    assert found.acts_on
    if of_sockets and found.fits.virtual != "on":
        assert "no effect by design" in found.acts_on


@pytest.mark.parametrize("name", EVERY)
def test_what_a_profile_leaves_to_a_plan_is_what_a_plan_takes(name: str) -> None:
    """Under not_settable a word in brackets, `(tso: off)`, is one of a treatment; what nettune turns is not denied."""
    for statement in profile.load(EVERY[name]).not_settable:
        for word, value in re.findall(r"\(([a-z_]+): (\w+)\)", statement.why):
            assert check(word, value) == ("", "")
        denied = statement.why.partition("nettune turns no ")[2]
        assert not (denied and chosen(denied, ("A", "C"))), statement


def test_interrupts_and_bbr_are_told_with_the_word_that_measures_them() -> None:
    """Neither is set by a profile, both can be measured: what they depend on is on the host."""
    whys = " ".join(
        statement.why
        for name in ("pve-node-25-100g", "wan-transfer")
        for statement in profile.load(EVERY[name]).not_settable
    )

    assert "(smp_affinity_list: spread)" in whys
    assert "(congestion_control: bbr)" in whys
    assert "nettune turns no" not in whys
    assert entry("net.ipv4.tcp_congestion_control").first_under == "retransmits"  # which bbr's line relies on


# -- tuned ------------------------------------------------------------------------------------------------------------

INHERITED = {
    "tuned-throughput-performance": ("throughput-performance",),
    "tuned-network-throughput": ("throughput-performance", "network-throughput"),
    "tuned-network-latency": ("latency-performance", "network-latency"),
    "tuned-virtual-host": ("throughput-performance", "virtual-host"),
    "virtual-guest": ("throughput-performance", "virtual-guest"),
}
# What chooses a section or names a variable, and sets nothing.
NAMED = {"governor": "scaling_governor"}  # tuned's word -> the kernel's, which nettune takes
CHOOSES = ("type", "uname_regex", "cpuinfo_regex", "include")


def _assignments(name: str) -> Mapping[tuple[str, str], str]:
    """(section, key) -> its line, of one tuned.conf without its comments."""
    found, section = {}, ""
    for line in (TRANSCRIPTS / f"{name}.conf").read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif section != "variables" and (key := line.partition("=")[0].strip()) not in CHOOSES:
            found[section, key] = line
    return found


@pytest.mark.parametrize("name", INHERITED)
def test_an_anchor_of_tuned_has_every_value_of_tuned(name: str) -> None:
    """Debian's tuned 2.20.0-1, inheritance resolved: what is not a setting stands in its own words, nothing is lost."""
    lines: dict[tuple[str, str], str] = {}
    for each in INHERITED[name]:
        lines |= _assignments(each)
    found = profile.load(EVERY[name])
    settings = {each.setting: each.value for each in found.settings}
    words = {each.words for each in found.not_settable}
    missing = {}
    for (section, key), line in lines.items():
        value = re.sub(r"^=?>?\s*", "", line.partition("=")[2]).strip().strip('"')
        if (
            settings.get(NAMED.get(key, key)) != value
            and line not in words
            and section not in {"vm.thunderx", "sysctl.thunderx"}
        ):
            missing[section, key] = line

    assert missing == {}
    assert set(settings) <= {NAMED.get(key, key) for _, key in lines}
    if name.startswith("tuned-"):
        assert words <= set(lines.values())


# -- names ------------------------------------------------------------------------------------------------------------

MINE = "format: 2\nname: {name}\nstatus: nothing\nsettings: []\n"


def test_an_operators_own_goes_by_its_name_and_before_one_that_ships(tmp_path: Path) -> None:
    """The state folder's; a file is a file."""
    for name in ("mine", "latency"):
        (tmp_path / f"{name}.yaml").write_text(MINE.format(name=f"own-{name}"), encoding="utf-8")

    assert shelf.found("mine", tmp_path).name == "own-mine"
    assert shelf.found("latency", tmp_path).name == "own-latency"
    assert shelf.found(str(tmp_path / "mine.yaml"), Path("/nonexistent")).name == "own-mine"
    assert [kind for kind, _ in shelf.listed(tmp_path)][-2:] == ["own", "own"]


def test_a_name_that_nobody_has_is_wrong_input_with_the_nearest(tmp_path: Path) -> None:
    """A slip, something far from all, a file that is not there."""
    with pytest.raises(WrongInput, match="no profile 'pve-node-1g'") as slip:
        shelf.found("pve-node-1g", tmp_path)
    with pytest.raises(WrongInput) as far:
        shelf.found("zzz", tmp_path)
    with pytest.raises(WrongInput, match="No such file"):
        shelf.found(str(tmp_path / "none.yaml"), tmp_path)

    assert slip.value.hint == "did you mean 'pve-node-10g'?"
    assert "nettune profile list" in far.value.hint
