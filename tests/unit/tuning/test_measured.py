"""Profiles as arms of a plan: added to it, cut down to what its labs have, and named where they are not whole."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bench import plan as plans
from bench.document import from_plain
from bench.hosts.command import Command, Outcome
from bench.hosts.login import Login
from bench.labs.guests import Guests
from bench.labs.inventory import Inventory, Machine
from bench.labs.lab import Lab
from bench.plan import Plan, SettingSpec
from results.errors import NotAble, WrongInput
from tests.unit.tuning import kernel
from tuning import journal, measured, shelf
from tuning.fits import Fits
from tuning.journal import Journal
from tuning.knobs.cpu import OF_A_MACHINE
from tuning.knobs.table import check
from tuning.profile import Profile, ProfileSetting, load

ENDS = (
    Machine("a", Login("192.0.2.1"), ("eth0",), "192.0.2.1"),
    Machine("b", Login("192.0.2.2"), ("eth0",), "192.0.2.2"),
)


@dataclass(eq=False)
class Told(kernel.Kernel):
    """A kernel that says what is below it."""

    below: str = ""

    def run(self, command: Command) -> Outcome:
        """See Host.run."""
        if command.argv[0] == "systemd-detect-virt":
            return Outcome(command, self.name, 0, self.below, "", 0.0)
        return super().run(command)


MIXED = Profile(
    "mixed",
    "candidate",
    (
        ProfileSetting("tso", "off", "path"),
        ProfileSetting(kernel.RMEM, "4096 87380 4194304", "guest"),
        ProfileSetting("net.core.busy_read", "50", "guest"),
        ProfileSetting("congestion_control", "reno", "guest"),
    ),
)


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Journal]:
    """A journal that nothing is written to."""
    with journal.kept(tmp_path / "journal.jsonl") as found:
        yield found


def _quick() -> Plan:
    return plans.load("quick", check=check)


def test_a_profile_is_one_more_arm_of_a_plan() -> None:
    """Its settings with their targets, in the document that the run keeps too; the plan's own arms stay."""
    plan = measured.added(
        _quick(), [replace(MIXED, settings=MIXED.settings[:3]), shelf.found("latency", Path("/none"))]
    )
    document = plan.document["treatments"]

    assert list(plan.treatments) == ["no-tso", "small-buffers", "mtu-9000", "mixed", "latency"]
    assert isinstance(document, dict)
    assert document["mixed"]["tso"] == {"value": "off", "target": "path"}
    assert plan.design.treatments[-2:] == ("mixed", "latency")


def test_a_plan_without_treatments_takes_a_profile() -> None:
    """`noise` has current alone."""
    assert list(measured.added(plans.load("noise", check=check), [MIXED]).treatments) == ["mixed"]


def test_what_the_probe_chooses_itself_is_left_out_and_named(kept: Journal) -> None:
    """The tcp probe of quick has a congestion control: the profile's would be overridden."""
    plan, skipped, _ = measured.settled(measured.added(_quick(), [MIXED]), [MIXED], {"bridge": kernel.lab()}, kept)

    assert "congestion_control" not in {each.setting for each in plan.treatments["mixed"]}
    assert dict(skipped)["mixed: congestion_control"].startswith("the tcp probe of the plan chooses")


def test_what_a_lab_lacks_or_what_would_lower_a_maximum_is_left_out_and_named(kept: Journal) -> None:
    """One setting is left; the report says how many of how many, and that of a published one nothing is known."""
    published = replace(MIXED, status="published")
    plan, skipped, notes = measured.settled(
        measured.added(_quick(), [published]), [published], {"bridge": kernel.lab()}, kept
    )

    assert [each.setting for each in plan.treatments["mixed"]] == ["tso"]
    assert plans.parse(from_plain(plan.document, "kept"), check=check).treatments == plan.treatments
    assert dict(skipped)[f"mixed: {kernel.RMEM}"].startswith("lowers a maximum: 4096 87380 4194304 is below")
    assert dict(skipped)["mixed: net.core.busy_read"] == "not there: a has no /proc/sys/net/core/busy_read"
    (note,) = notes
    assert note == (
        "Treatment mixed is the profile mixed (published, not measured on your host): 1 of its 4 settings were "
        "measured here."
    )


def test_a_reason_names_the_path_that_has_it(kept: Journal) -> None:
    """On one path somebody has set the value already: the arm is the same on all, and says which path it was."""
    other = kernel.lab("direct")
    other.kernels[0].facts[f"sysctl/{kernel.RMEM}"] = other.kernels[1].facts[f"sysctl/{kernel.RMEM}"] = (
        "4096 131072 262144"
    )
    asked = replace(MIXED, settings=(MIXED.settings[0], ProfileSetting(kernel.RMEM, "4096 131072 262144", "guest")))
    labs = {"bridge": kernel.lab(), "direct": other}
    _, skipped, _ = measured.settled(measured.added(_quick(), [asked]), [asked], labs, kept)

    assert dict(skipped)[f"mixed: {kernel.RMEM}"] == (
        "lowers a maximum: 4096 131072 262144 is below 4096 131072 6291456, which stands there now (bridge); "
        "already so: 4096 131072 262144 (direct)"
    )


def test_a_profile_of_which_nothing_is_left_is_not_able(kept: Journal) -> None:
    """Nothing is measured under its name that is not it."""
    absent = replace(MIXED, settings=MIXED.settings[2:3])
    with pytest.raises(NotAble, match=r"nothing of profile mixed is left.*busy_read: not there") as raised:
        measured.settled(measured.added(_quick(), [absent]), [absent], {"bridge": kernel.lab()}, kept)

    assert "nettune profile check mixed" in raised.value.hint


def test_a_hosts_tcp_is_left_out_where_guests_are_the_ends(kept: Journal) -> None:
    """A profile for bare metal, on a path between virtual machines: no effect by design."""
    metal = replace(
        MIXED,
        settings=(MIXED.settings[0], ProfileSetting(kernel.RMEM, "4096 131072 16777216", "guest")),
        fits=Fits(virtual="off"),
    )
    between = replace(measured.added(_quick(), [metal]), guests=Guests())
    _, skipped, _ = measured.settled(between, [metal], {"bridge": kernel.lab()}, kept)

    assert dict(skipped)[f"mixed: {kernel.RMEM}"].startswith("no effect by design")


@pytest.mark.parametrize(("below", "left_out"), [("kvm", True), ("none", False), ("", False)])
def test_ends_that_stand_are_asked_whether_they_are_guests(kept: Journal, below: str, left_out: bool) -> None:
    """The same between machines of an inventory: what tells of no hypervisor is the host itself."""
    lab = kernel.lab("direct")
    asked = replace(MIXED, settings=(MIXED.settings[0], ProfileSetting(kernel.RMEM, "4096 131072 16777216", "guest")),
                    fits=Fits(virtual="off"))  # fmt: skip
    ends = tuple(replace(end, host=Told(end.host.name, facts=end.host.facts, below=below)) for end in lab.endpoints
                 if isinstance(end.host, kernel.Kernel))  # fmt: skip
    path = tuple(replace(each, host=end.host) for each, end in zip(lab.path, ends, strict=True))
    way = replace(measured.added(_quick(), [asked]), inventory=Inventory(ENDS))
    _, skipped, _ = measured.settled(way, [asked], {"direct": replace(lab, endpoints=ends, path=path)}, kept)

    assert (f"mixed: {kernel.RMEM}" in dict(skipped)) is left_out


def _between_hosts(below: str) -> Lab:
    """Two machines on one cable, with NICs, clocks and the machine's own sysctls."""
    lab = kernel.lab("direct")
    more = {OF_A_MACHINE: "1000", "sysctl/net.core.netdev_budget": "300", "cpu/policy0/scaling_governor": "powersave",
            "ring/eth0/rx": "256", "ring/eth0/rx-most": "4096"}  # fmt: skip
    ends = tuple(replace(end, host=Told(end.host.name, facts=end.host.facts | more, below=below))
                 for end in lab.endpoints if isinstance(end.host, kernel.Kernel))  # fmt: skip
    path = tuple(replace(each, host=end.host) for each, end in zip(lab.path, ends, strict=True))
    return replace(lab, endpoints=ends, path=path)


@pytest.mark.parametrize("name", ["pve-node-10g", "pve-node-25-100g"])
def test_a_nodes_settings_act_on_the_ends_where_these_are_the_nodes_themselves(kept: Journal, name: str) -> None:
    """Between two hypervisors there is no third one: what a profile has for the node is set on both."""
    profile = load(Path("profiles") / f"{name}.yaml")
    way = replace(measured.added(_quick(), [profile]), inventory=Inventory(ENDS))
    plan, skipped, _ = measured.settled(way, [profile], {"direct": _between_hosts("none")}, kept)
    held = {each.setting: each.target for each in plan.treatments[name]}
    of_node = {each.setting for each in profile.settings if each.target == "node"}

    assert {"net.core.netdev_budget", "scaling_governor"} <= of_node
    assert {held[each] for each in ("net.core.netdev_budget", "scaling_governor")} == {"guest"}
    assert not [why for what, why in skipped if "target 'node'" in why]


def test_a_nodes_settings_act_on_no_guest_though_these_stand_alone(kept: Journal) -> None:
    """VMs as ends, and the hypervisor under them is not in the inventory: what is for the node is not there."""
    profile = load(Path("profiles/pve-node-10g.yaml"))
    way = replace(measured.added(_quick(), [profile]), inventory=Inventory(ENDS))
    _, skipped, _ = measured.settled(way, [profile], {"direct": _between_hosts("kvm")}, kept)

    assert dict(skipped)["pve-node-10g: net.core.netdev_budget"].startswith("not there")


def test_an_arm_that_cannot_be_is_wrong_input() -> None:
    """A name that the plan has, nothing that the plan could measure, a name that no plan takes."""
    for profile, words in (
        (replace(MIXED, name="no-tso"), "has a treatment 'no-tso' already"),
        (replace(MIXED, settings=MIXED.settings[3:]), "has no setting that plan quick could measure"),
        (replace(MIXED, name="current"), "'current' cannot be a treatment's name"),
    ):
        with pytest.raises(WrongInput, match=words):
            measured.added(_quick(), [profile])


def test_one_setting_on_ends_and_nodes_is_one_arm() -> None:
    """With a value for each; a plan has a list of them."""
    twice = (ProfileSetting("tso", "off", "node"), ProfileSetting("tso", "on", "guest"))
    plan = measured.added(_quick(), [replace(MIXED, name="both", settings=twice)])

    assert plan.treatments["both"] == (SettingSpec("tso", "off", "node"), SettingSpec("tso", "on", "guest"))


def test_a_name_that_no_treatment_can_have_is_made_one() -> None:
    """Of a plan's name and a run's id forty letters are left."""
    assert measured.arm(replace(MIXED, name="My profile (2)")) == "my-profile-2"
    assert measured.arm(replace(MIXED, name="x" * 60)) == "x" * 40
    assert measured.arm(replace(MIXED, name="–")) == "profile"
