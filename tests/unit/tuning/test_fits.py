"""Match rules: each fits, does not fit, or cannot be told, and says why; slips are named by line and key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import document
from results.errors import WrongInput
from tuning.fits import EVERY_HOST, ROLES, Fits, Speed, answers, read

NODE = {
    "host/release": "6.8.12-4-pve",
    "host/virtual": "none",
    "host/pve": "yes",
    "device/enp1s0/driver": "ixgbe",
    "device/enp1s0/speed": "10000",
    "device/eno1/driver": "igb",
    "device/eno1/speed": "1000",
    "sysctl/net.ipv4.ip_forward": "0",
    "link/tap100i0/kind": "tun",
    "link/tap100i0/master": "vmbr0",
    "link/vmbr0/kind": "bridge",
}
BOTH = ("enp1s0", "eno1")
CASES = {
    "a newer kernel": (Fits(kernel=">= 6.2"), "fits", "it runs 6.8.12-4-pve"),
    "the same kernel": (Fits(kernel=">= 6.8"), "fits", "it runs 6.8.12-4-pve"),
    "an older kernel": (Fits(kernel=">= 6.14"), "does not fit", "it runs 6.8.12-4-pve"),
    "bare metal": (Fits(virtual="off"), "fits", "no hypervisor is below it"),
    "no guest": (Fits(virtual="on"), "does not fit", "no hypervisor is below it"),
    "one device's driver": (Fits(driver=("ixgbe", "i40e")), "fits", "enp1s0 ixgbe"),
    "no device's driver": (Fits(driver=("mlx5_core",)), "does not fit", "enp1s0 ixgbe, eno1 igb"),
    "one device's speed": (Fits(speed_mbps=Speed(10_000, 25_000)), "fits", "enp1s0 10000 Mbit/s"),
    "no device's speed": (Fits(speed_mbps=Speed(25_000)), "does not fit", "enp1s0 10000, eno1 1000 Mbit/s"),
    "below a speed": (Fits(speed_mbps=Speed(below=10_000)), "fits", "eno1 1000 Mbit/s"),
    "a node": (Fits(role=("pve-node",)), "fits", "it has Proxmox VE"),
    "no router": (Fits(role=("router",)), "does not fit", "it has no IP forwarding switched on"),
    "guests": (Fits(role=("guests",)), "fits", "it has guests or containers on its bridges"),
    "storage nobody sees": (Fits(role=("storage",)), "cannot be told", "no fact says whether it has storage"),
}


@pytest.mark.parametrize(("rules", "word", "why"), CASES.values(), ids=CASES)
def test_a_rule_answers_with_its_reason(rules: Fits, word: str, why: str) -> None:
    """On one node with two NICs."""
    (found,) = answers(rules, NODE, BOTH)

    assert (found.word, found.why.startswith(why)) == (word, True), found


def test_a_host_that_tells_nothing_is_neither_in_nor_out() -> None:
    """Every rule cannot be told, but for guests: no device of theirs is there."""
    rules = Fits(">= 6.1", "on", ("ixgbe",), Speed(1000), tuple(ROLES))
    found = {each.rule: each.word for each in answers(rules, {}, ())}

    assert found.pop("role guests") == "does not fit"
    assert set(found.values()) == {"cannot be told"}
    assert len(found) == 7


def test_a_guest_is_told_by_its_hypervisor_and_a_router_by_either_family() -> None:
    """The answer names what is below; IPv6 forwarding counts as well."""
    facts = {"host/virtual": "kvm", "sysctl/net.ipv4.ip_forward": "0", "sysctl/net.ipv6.conf.all.forwarding": "1"}
    virtual, router = answers(Fits(virtual="on", role=("router",)), facts, ())

    assert (virtual.word, virtual.why) == ("fits", "it runs on kvm")
    assert router.word == "fits"


def test_no_rules_ask_nothing() -> None:
    """Any host."""
    assert answers(EVERY_HOST, NODE, BOTH) == ()


GOOD = "kernel: '>=6.8'\nvirtual: no\ndriver: [ixgbe, ixgbe]\nspeed_mbps: {least: 10000}\nrole: [pve-node]\n"


def test_rules_are_read_in_any_spelling() -> None:
    """YAML's ways to say off; blanks; what stands twice stands once."""
    assert read(document.read(GOOD, "p.yaml")) == Fits(">= 6.8", "off", ("ixgbe",), Speed(10_000), ("pve-node",))


BAD = {
    "no relation": ("'>=6.8'", "6.8", "p.yaml:1: kernel: '6.8' is no rule on kernels", "kernel: '>= 6.8'"),
    "neither": ("virtual: no", "virtual: maybe", "p.yaml:2: virtual: 'maybe' is neither on nor off", ""),
    "a word for a list": ("[ixgbe, ixgbe]", "ixgbe", "p.yaml:3: driver: a list belongs here", ""),
    "an unknown key": ("least", "leest", "p.yaml:4: speed_mbps: unknown key 'leest'", "did you mean 'least'?"),
    "an empty range": ("{least: 10000}", "{least: 10000, below: 10000}", "p.yaml:4: speed_mbps: no speed is", ""),
    "an unknown role": ("[pve-node]", "[pve-nod]", "p.yaml:5: role[0]: 'pve-nod' is none of pve-node, guests",
                        "did you mean 'pve-node'?"),
    "an unknown rule": ("role", "rôle", "p.yaml:5: unknown key 'rôle'", "did you mean 'role'?"),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words", "hint"), BAD.values(), ids=BAD)
def test_a_bad_rule_names_line_key_and_hint(old: str, new: str, words: str, hint: str) -> None:
    """One slip each."""
    assert GOOD.count(old) == 1
    with pytest.raises(WrongInput) as raised:
        read(document.read(GOOD.replace(old, new), "p.yaml"))

    assert words in str(raised.value)
    assert hint in raised.value.hint


KEYS = st.sampled_from([*NODE, "link/x/master", "link/x/kind", "device/x/speed"])


@given(st.dictionaries(KEYS, st.text(max_size=12)))
def test_any_answer_of_a_host_is_an_answer(facts: dict[str, str]) -> None:
    """Facts that are no numbers and no versions are told from, never fallen over."""
    facts = {key: value for key, value in facts.items() if not key.endswith("/speed") or value.isdecimal()}
    rules = Fits(">= 6.1", "on", ("ixgbe",), Speed(1000), tuple(ROLES))

    assert len(answers(rules, facts, ("enp1s0", "x"))) == 8
