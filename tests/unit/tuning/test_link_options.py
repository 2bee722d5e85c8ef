"""Options of bonds and bridges: facts of `ip -d -j link`, set by `ip link set … type`, on every one of the path."""

import pytest

from bench.facts import part, state
from bench.facts.scope import device_of
from bench.facts.sheet import Difference, FactSheet
from tests.unit.bench.fakes import lab
from tuning.knobs.knob import Change, NotSettable
from tuning.knobs.link_options import OPTIONS
from tuning.knobs.table import KNOBS, check, owner

# As iproute2 6.1 prints them; of the bond only what is read here (iplink_bond.c, bond_print_opt).
BRIDGE = {
    "ifname": "br0",
    "linkinfo": {"info_kind": "bridge", "info_data": {"ageing_time": 30000, "mcast_snooping": 1, "gc_timer": 0.0}},
}
BOND = {
    "ifname": "bond0",
    "linkinfo": {
        "info_kind": "bond",
        "info_data": {"mode": "802.3ad", "miimon": 100, "xmit_hash_policy": "layer2", "ad_info": {"aggregator": 1}},
    },
}
FACTS = {
    "bridge/br0/ageing_time": "30000", "bridge/br0/mcast_snooping": "1", "bond/bond0/miimon": "100",
    "bond/bond0/xmit_hash_policy": "layer2",
}  # fmt: skip


def test_only_what_can_be_set_is_read() -> None:
    """Timers and aggregators change by themselves; they are no facts."""
    facts = state.parse_links([BRIDGE, BOND, {"ifname": "eth0"}])

    assert {key: value for key, value in facts.items() if key.startswith(("bridge/", "bond/"))} == FACTS
    assert {each.of: 0 for each in OPTIONS} == dict.fromkeys(state.LINK_OPTIONS, 0)
    assert all(each.kind in state.LINK_OPTIONS[each.of] for each in OPTIONS)
    assert {device_of(key) for key in FACTS} == {"br0", "bond0"}
    assert part.questions(FACTS) == (state.IDENTITY,)


@pytest.mark.parametrize(
    ("primary", "now", "wanted", "refused"),
    [
        ("eth1", "failure", "always", True), ("eth1", "better", "always", True), ("eth1", "failure", "better", True),
        ("eth1", "always", "better", False), ("eth1", "always", "failure", False),
        ("eth1", "failure", "failure", False), ("", "failure", "always", False),
    ],
)  # fmt: skip
def test_no_policy_is_set_by_which_a_primary_leg_takes_over_at_once(
    primary: str, now: str, wanted: str, *, refused: bool
) -> None:
    """The leg that was active would not come back with the policy: a host may be reached by that one alone."""
    info = {"mode": "active-backup", "primary_reselect": now, **({"primary": primary} if primary else {})}
    facts = state.parse_links([{"ifname": "d0", "linkinfo": {"info_kind": "bond", "info_data": info}}])
    here = lab()
    sheets = {host.name: FactSheet(host.name, {}) for host in here.hosts}
    bond = here.path[0]
    renamed = {key.replace("/d0/", f"/{bond.device}/"): value for key, value in facts.items()}
    sheets[bond.host.name] = FactSheet(bond.host.name, renamed)
    knob = KNOBS["primary_reselect"]

    if refused:
        with pytest.raises(NotSettable, match="would take its primary leg eth1 at once"):
            knob.changes("primary_reselect", wanted, here, "path", sheets)
    else:
        assert [each.wanted for each in knob.changes("primary_reselect", wanted, here, "path", sheets)] == [wanted]


def test_every_bridge_of_the_path_is_set() -> None:
    """On and off become the kernel's 1 and 0."""
    here = lab()
    bridge = next(each for each in here.path if not each.counts)
    key = f"bridge/{bridge.device}/mcast_snooping"
    sheets = {host.name: FactSheet(host.name, {key: "1"} if host is bridge.host else {}) for host in here.hosts}
    knob = KNOBS["mcast_snooping"]
    changes = knob.changes("mcast_snooping", "off", here, "path", sheets)

    assert changes == (Change(bridge.host.name, key, "0"),)
    assert [command.argv for command in knob.writes(changes)] == [
        ("ip", "link", "set", "dev", bridge.device, "type", "bridge", "mcast_snooping", "0")
    ]
    assert owner(key) is knob
    assert knob.explains("mcast_snooping", Difference("node", key, "1", "0"))
    assert not knob.explains("mcast_snooping", Difference("node", "bridge/br0/ageing_time", "1", "0"))
    assert knob.command("mcast_snooping", "off") == "ip link set dev DEVICE type bridge mcast_snooping 0"


def test_a_path_without_a_bond_is_refused_by_name() -> None:
    """Nothing is written anywhere."""
    here = lab()
    sheets = {host.name: FactSheet(host.name, {}) for host in here.hosts}

    with pytest.raises(NotSettable, match="on the target 'path' is no bond with miimon"):
        KNOBS["miimon"].changes("miimon", "50", here, "path", sheets)


@pytest.mark.parametrize(
    ("setting", "value", "problem"),
    [
        ("xmit_hash_policy", "layer34", "xmit_hash_policy 'layer34' is no word of layer2, layer2+3, layer3+4"),
        ("xmit_hash_policy", "layer3+4", ""),
        ("mcast_snooping", "maybe", "mcast_snooping 'maybe' is no switch (on or off)"),
        ("miimon", "-1", "miimon '-1' is no number of milliseconds"),
        ("mcast_hash_max", "0", "mcast_hash_max '0' is no number of groups"),
    ],
)
def test_values_are_checked_before_any_host_is_asked(setting: str, value: str, problem: str) -> None:
    """By the plan's own check."""
    assert check(setting, value)[0].startswith(problem)
    assert bool(check(setting, value)[0]) == bool(problem)


def test_a_hash_of_ports_lets_a_bond_offer_tls_in_hardware() -> None:
    """The kernel moves that with it, and back (bond_set_tls_features); nothing else of the bond's features."""
    knob = KNOBS["xmit_hash_policy"]

    for feature, explained in (("tls-hw-tx-offload", True), ("tls-hw-rx-offload", True), ("tx-checksumming", False)):
        difference = Difference("node", f"feature/bond0/{feature}", "off [fixed]", "on [fixed]")
        assert knob.explains("xmit_hash_policy", difference) == explained
