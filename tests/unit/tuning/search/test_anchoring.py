"""Published profiles beside a search's knobs: they keep to the same rules, and what is left out of them is named."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.labs.guests import Guests
from bench.plan import SettingSpec
from nettune.wiring import load_plan
from tests.unit.bench.fakes import FakeHost
from tests.unit.tuning.kernel import CC, RMEM, lab
from tuning import bearing
from tuning.fits import Fits
from tuning.journal import kept
from tuning.knobs.cpu import OF_A_MACHINE
from tuning.profile import Profile, ProfileSetting
from tuning.search.anchoring import PROBES_OWN, Anchor, Rules, anchored, unfit
from tuning.search.exploring import Limits, explored, places
from tuning.shelf import anchors
from tuning.standings import as_treatment, of_host

FACTS = {
    f"sysctl/{RMEM}": "4096 131072 6291456",
    f"sysctl/{CC}": "cubic",
    "sysctl/net.ipv4.tcp_allowed_congestion_control": "reno cubic bbr",
    "sysctl/net.core.somaxconn": "4096",
    OF_A_MACHINE: "1000",
    "ring/eth0/rx": "256",
    "cpu/policy0/scaling_governor": "powersave",
}
LARGE = ("net.ipv4.tcp_rmem", "4096 131072 33554432")
RING, GOVERNOR, SAME = ("rx-ring", "1024"), ("scaling_governor", "performance"), ("net.core.somaxconn", "4096")


def _anchored(rules: Rules, **profiles: tuple[tuple[str, str], ...]) -> tuple[dict[str, list[str]], dict[str, str]]:
    made = {
        name: Profile(name, "published", tuple(ProfileSetting(setting, value, "guest") for setting, value in settings))
        for name, settings in profiles.items()
    }
    readings = of_host("pve1", FACTS, ["eth0"])
    arms, told = anchored({name: Anchor(each, as_treatment(each, readings)) for name, each in made.items()}, rules)
    return {name: [each.setting for each in arm] for name, arm in arms.items()}, dict(told)


def _allowing(**changed: object) -> Rules:
    asked = {"most": "d7", "owned": {}, "probes_own": False, "refusal": lambda _: "", **changed}
    return Rules(**asked)  # type: ignore[arg-type]  # what a case changes


def test_an_anchor_disturbs_no_more_than_a_knob_may() -> None:
    """A ring resets its queues: what is above --disruption is left out of the arm, and the share that is held told."""
    allowed, _ = _anchored(_allowing(), both=(LARGE, RING))
    gentle, told = _anchored(_allowing(most="d2"), both=(LARGE, RING))

    assert allowed == {"both": [RMEM, "rx-ring"]}
    assert gentle == {"both": [RMEM]}
    assert told["profile both"] == (
        "1 of its 2 settings are held; rx-ring: its disruption is d3; d2 is the most that is allowed"
    )


def test_what_a_program_on_a_machine_writes_is_left_to_it_in_an_anchor_too() -> None:
    """Tuned would write it back; so is what the plan's own probe decides, and what a driver refuses."""
    refused: list[SettingSpec] = []

    def refusal(spec: SettingSpec) -> str:
        refused.append(spec)
        return "the driver clamps it" if spec.setting == "rx-ring" else ""

    rules = _allowing(owned={"tuned": "pve1"}, probes_own=True, refusal=refusal)
    arms, told = _anchored(rules, mixed=(LARGE, GOVERNOR, RING, (CC, "bbr")))

    assert arms == {"mixed": [RMEM]}
    assert "scaling_governor: tuned on pve1 writes it: leave it to that" in told["profile mixed"]
    assert "rx-ring: the driver clamps it" in told["profile mixed"]
    assert f"{CC}: {PROBES_OWN}" in told["profile mixed"]
    assert {each.setting for each in refused} == {RMEM, "rx-ring"}  # nothing else was held for a moment


def test_an_anchor_that_comes_to_nothing_or_to_another_is_named() -> None:
    """With the reason; one that is wholly held needs no word."""
    arms, told = _anchored(_allowing(), first=(LARGE,), second=(LARGE, SAME), none=(SAME,))

    assert list(arms) == ["first"]
    assert told["profile second"] == "what is left of it (1 of its 2 settings) is what is left of first"
    assert told["profile none"] == "nothing of it is left to race: net.core.somaxconn: already so: 4096"
    assert "profile first" not in told


def test_exploring_names_what_is_cut_from_the_profiles_that_ship(tmp_path: Path) -> None:
    """On two ends with the buffers of a small kernel: each anchor is an arm, or named with the reason, or both."""
    with kept(tmp_path / "journal.jsonl") as journal:
        found = explored(
            load_plan("quick", ()), lab(), journal, Limits((), ()), most="d2", only=("net.ipv4.tcp_rmem",), anchors=True
        )
    told = {name for name, _ in found.left_out}

    assert found.anchors
    assert set(anchors()) == found.anchors.keys() | {name.removeprefix("profile ") for name in told}
    assert all(bearing.disruption(each.setting) <= "d2" for arm in found.anchors.values() for each in arm)


def test_a_hosts_sockets_are_no_anchor_inside_guests(tmp_path: Path) -> None:
    """Tuned's profile for hypervisors: in a guest its somaxconn has no effect by design, and does not race."""
    stand = lab()
    for kernel in stand.kernels:
        kernel.facts["sysctl/net.core.somaxconn"] = "128"
    plan = load_plan("quick", ())
    with kept(tmp_path / "journal.jsonl") as journal:
        inside, outside = (
            explored(each, stand, journal, Limits((), ()), most="d2", only=(RMEM,), anchors=True)
            for each in (replace(plan, guests=Guests()), plan)
        )

    assert "is what is left of tuned-throughput-performance" in dict(outside.left_out)["profile tuned-virtual-host"]
    assert "tuned-virtual-host" not in inside.anchors
    assert "net.core.somaxconn: no effect by design" in dict(inside.left_out)["profile tuned-virtual-host"]


@pytest.mark.parametrize(("below", "why"), [("kvm", "it is for bare metal, and pve1 is not: it runs on kvm"),
                                            ("none", ""), ("", "")])  # fmt: skip
def test_a_profile_for_other_hosts_does_not_race(below: str, why: str) -> None:
    """Where a fact of a host that it would change says so; what cannot be told forbids nothing."""
    profile = Profile("metal", "published", (ProfileSetting(*LARGE, "guest"),), fits=Fits(virtual="off"))
    readings = of_host("pve1", FACTS, ["eth0"])
    treated = as_treatment(profile, readings)
    found = unfit(profile, treated, readings, {"pve1": {"host/virtual": below}})
    arms, told = anchored({"metal": Anchor(profile, treated, found)}, _allowing())

    assert found == why
    assert ("metal" in arms) is not bool(why)
    assert dict(told).get("profile metal", "") == why


def test_exploring_turns_a_knob_on_the_node_that_showed_its_symptom(tmp_path: Path) -> None:
    """Held there for a moment and put back; the ends, which have it too, are not touched, and of them it is said."""
    stand, backlog = lab(), "net.core.netdev_max_backlog"
    for kernel in stand.kernels:
        kernel.facts[f"sysctl/{backlog}"] = "100"
    limits = Limits((("backlog-drops", "dropped grew by 3"),), (), {"backlog-drops": ("node",)})
    with kept(tmp_path / "journal.jsonl") as journal:
        found = explored(load_plan("quick", ()), stand, journal, limits, most="d2", only=(), anchors=False)
    (factor,) = [each for each in found.factors if each.setting == backlog]
    written = {kernel.name for kernel in stand.kernels for asked in kernel.asked if asked.argv[0] == "tee"
               and asked.argv[1].endswith("netdev_max_backlog")}  # fmt: skip

    assert factor.target == "node"
    assert written == {"node"}
    assert dict(found.left_out)[backlog] == "no sign of backlog-drops on the ends"
    assert {kernel.facts[f"sysctl/{backlog}"] for kernel in stand.kernels} == {"100"}


def test_a_symptom_is_of_the_parts_of_the_lab_whose_hosts_show_it() -> None:
    """The machine under guests is no part itself: nodes on its kernel stand for it. Nobody tells: both."""
    stand = lab()
    under = replace(stand, machine=FakeHost("local"), namespaces=frozenset({"node"}))

    assert places(stand, ("a",)) == {"guest"}
    assert places(stand, ("node",)) == {"node"}
    assert places(stand, ("a", "node")) == places(stand, ()) == {"guest", "node"}
    assert places(under, ("local",)) == {"node"}
    assert places(replace(under, nodes=()), ("local",)) == {"guest", "node"}
