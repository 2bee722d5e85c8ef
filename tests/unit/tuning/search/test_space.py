"""Which knobs enter a search: by policy, symptom, presence and disruption; the others are named with the reason."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import ready
from bench.diagnosis import SYMPTOMS
from bench.labs.lab import Lab, Target
from bench.labs.topology import Kind
from bench.plan import SettingSpec
from tests.unit.tuning.kernel import RMEM, Kernel, KernelLab, lab
from tuning import journal
from tuning.knobs.candidates import offered_to_all
from tuning.knobs.catalogue import catalogue, entry
from tuning.knobs.sysctl import CONGESTION_CONTROL
from tuning.search.pipeline import ALONE_MOST
from tuning.search.planned import Explored, as_document, from_document
from tuning.search.space import Space, space
from tuning.search.stages import Cost, Factor, config
from tuning.treatments import treatments

ENTRIES = catalogue().values()
EVERY: Mapping[str, Collection[Target]] = dict.fromkeys(SYMPTOMS, ("guest", "node"))
WINDOW: Mapping[str, Collection[Target]] = {"receive-window": ("guest", "node")}


def _space(**changed: object) -> Space:
    stand = lab()
    asked = {"symptoms": {}, "refusal": lambda *_: "", **changed}
    return space(ENTRIES, stand, stand.read(), **asked)  # type: ignore[arg-type]  # what a case changes


def test_a_buffer_enters_with_its_symptom_alone() -> None:
    """And what it is offered is above what is there, the weakest first."""
    without, within = _space(), _space(symptoms=WINDOW)
    (factor,) = [each for each in within.factors if each.setting == RMEM]

    assert RMEM not in {each.setting for each in without.factors}
    assert dict(without.left_out)[RMEM] == "no sign of receive-window"
    assert within.factors[0] == factor
    assert factor.numeric
    assert all(int(value.split()[2]) > 6291456 for value in factor.values)


def _rmem(*there: str) -> tuple[str, ...]:
    """What is tried of tcp_rmem where the two ends have these."""
    stand = lab()
    for kernel, value in zip([each for each in stand.kernels if f"sysctl/{RMEM}" in each.facts], there, strict=True):
        kernel.facts[f"sysctl/{RMEM}"] = value
    found = space(ENTRIES, stand, stand.read(), symptoms=WINDOW, refusal=lambda *_: "")
    return next((each.values for each in found.factors if each.setting == RMEM), ())


@pytest.mark.parametrize("there", [("4096 131072 6291456", "4096 131072 67108864"),
                                   ("4096 131072 67108864", "4096 131072 6291456")])  # fmt: skip
def test_no_maximum_is_lowered_on_any_host_and_the_smaller_is_raised_to_the_larger(there: tuple[str, str]) -> None:
    """Whichever host is read first; the larger of both is the weakest that is tried."""
    values = _rmem(*there)

    assert values[0] == "4096 131072 67108864"
    assert values == tuple(sorted(values, key=lambda value: int(value.split()[2])))
    assert all(int(value.split()[2]) >= 67108864 for value in values)


def test_of_hosts_that_have_the_same_maximum_only_larger_ones_are_tried() -> None:
    """What is there on both is no candidate; above the largest of the catalogue there is none but the other host's."""
    assert "4096 131072 16777216" not in _rmem("4096 131072 16777216", "4096 131072 16777216")
    assert _rmem("4096 131072 2147483647", "4096 131072 2147483647") == ()
    assert _rmem("4096 131072 6291456", "4096 262144 2147483647") == ("4096 262144 2147483647",)


def test_a_word_that_one_of_two_hosts_has_is_tried_on_both() -> None:
    """It changes the other host, whichever is read first."""
    for there in (("cubic", "bbr"), ("bbr", "cubic")):
        assert offered_to_all(entry(CONGESTION_CONTROL), there) == ("cubic", "bbr")
    assert offered_to_all(entry(CONGESTION_CONTROL), ("cubic", "cubic")) == ("bbr",)


def test_congestion_control_is_among_the_few_that_are_raced_where_segments_are_lost() -> None:
    """It may be tried on any path, behind others; where segments are sent again it is what helps: bbr over cubic."""
    stand = lab()
    for kernel in stand.kernels:
        kernel.facts |= {f"sysctl/{each.id}": "7" for each in ENTRIES if each.how == "sysctl" and each.policy in "AC"}
        kernel.facts[f"sysctl/{CONGESTION_CONTROL}"] = "cubic"
    lossy, clean = (
        space(ENTRIES, stand, stand.read(), symptoms=dict.fromkeys(symptoms, ("guest", "node")), refusal=lambda *_: "")
        for symptoms in (("retransmits",), ())
    )
    raced = {each.setting: each for each in lossy.factors[:ALONE_MOST]}

    assert CONGESTION_CONTROL in raced
    assert raced[CONGESTION_CONTROL].values == ("bbr",)
    assert raced[CONGESTION_CONTROL].why == "retransmits"
    assert [each.setting for each in clean.factors].index(CONGESTION_CONTROL) > 2


def test_what_is_refused_or_too_disruptive_or_not_there_is_named() -> None:
    """Each with its own reason; nothing is dropped without a word."""
    refused = _space(only=(RMEM,), refusal=lambda spec: f"on a: {spec.setting} is clamped")
    owned = _space(symptoms=WINDOW, owned={"tuned": "pve1"})
    gentle = _space(only=("rx-ring",), most="d1")
    absent = _space(only=("net.core.netdev_budget",))
    controls = _space(probes_own=True)

    assert refused.factors == gentle.factors == absent.factors == ()
    assert dict(refused.left_out)[RMEM] == f"on a: {RMEM} is clamped"
    assert dict(owned.left_out)["cpu.governor"] == "tuned on pve1 writes it: leave it to that"
    assert RMEM in [each.setting for each in owned.factors]
    assert "scaling_governor" not in [each.setting for each in owned.factors]
    assert dict(gentle.left_out)["ring.rx"].startswith("its disruption is d3")
    assert dict(absent.left_out)["net.core.netdev_budget"] == "this path has it nowhere"
    assert "chooses its congestion control" in dict(controls.left_out)["net.ipv4.tcp_congestion_control"]


@pytest.mark.parametrize(("now", "beside"), [("0", "20000"), ("20000", None), (None, None)])
def test_what_does_nothing_alone_is_one_factor_with_what_it_needs(now: str | None, beside: str | None) -> None:
    """As far as the path has it, and has it otherwise; whether both can be held is asked at once."""
    stand, asked = lab(), list[tuple[SettingSpec, ...]]()
    for kernel in stand.kernels:
        devices = {key.split("/")[1] for key in kernel.facts if key.startswith("link/")}
        for device in devices:
            kernel.facts[f"napi/{device}/napi_defer_hard_irqs"] = "0"
            if now is not None:
                kernel.facts[f"napi/{device}/gro_flush_timeout"] = now

    def refusal(*specs: SettingSpec) -> str:
        asked.append(specs)
        return ""

    found = space(ENTRIES, stand, stand.read(), symptoms={}, refusal=refusal, only=("napi_defer_hard_irqs",))
    (factor,) = found.factors
    both = config(factor.at("2"), *([SettingSpec("gro_flush_timeout", beside, None)] if beside else []))

    assert factor.values == ("2", "10", "100")
    assert factor.config("2") == both
    assert both in asked


@pytest.mark.parametrize("owner", ["pve-firewall", "tuned", "irqbalance"])
def test_what_a_program_of_a_machine_writes_is_left_to_it(owner: str) -> None:
    """Each of its knobs, with its name and where it is, whatever the symptoms; not one that was asked for by name."""
    of_it = [each for each in ENTRIES if each.owner == owner and each.setting]
    left = dict(_space(symptoms=EVERY, owned={owner: "pve1"}).left_out)
    alone = dict(_space(symptoms=EVERY, owned={"other": "pve1"}).left_out)
    asked = dict(_space(only=(of_it[0].id,), owned={owner: "pve1"}).left_out)
    words = f"{owner} on pve1 writes it: leave it to that"

    assert {each.id: left.get(each.id) for each in of_it} == dict.fromkeys((each.id for each in of_it), words)
    assert words not in {*alone.values(), *asked.values()}
    assert {name for name, why in left.items() if why == words} <= {each.id for each in ENTRIES if each.owner == owner}


def test_a_value_that_the_kernel_clamps_is_left_out_with_what_it_became(tmp_path: Path) -> None:
    """Held for a moment and put back, on a kernel that caps the buffer: those that it takes are tried."""

    def capped(kernel: Kernel, key: str, value: str) -> str:
        del kernel
        least, default, most = value.split() if key == f"sysctl/{RMEM}" else ("", "", "0")
        return value if int(most) <= 33554432 else f"{least} {default} 33554432"

    stand = lab(react=capped)
    now = stand.read()
    with journal.kept(tmp_path / "journal") as kept:

        def refusal(*specs: SettingSpec) -> str:
            (alone,) = treatments({"alone": specs}, kept)
            return ready.tried(alone, stand, now)

        found = space(ENTRIES, stand, now, symptoms={}, only=(RMEM,), refusal=refusal)
        whole = refusal(SettingSpec(RMEM, "4096 131072 67108864", None))

    assert [each.values for each in found.factors] == [("4096 131072 16777216", "4096 131072 33554432")]
    assert "was set to '4096 131072 67108864' and reads '4096 131072 33554432'" in whole
    assert stand.read() == now


def test_offloads_that_are_on_are_not_tried_off() -> None:
    """Whether an offload is real is the validator's question, not the search's."""
    found = _space()

    assert not [each for each in found.factors if "off" in each.values]
    assert len({each.setting for each in found.factors}) == len(found.factors)


WORDS = st.text("abc.-_", min_size=1, max_size=8)
SPECS = st.builds(SettingSpec, WORDS, WORDS, st.sampled_from([None, *get_args(Target)]))
FACTORS = st.lists(
    st.builds(
        Factor,
        knob=WORDS,
        setting=WORDS,
        values=st.lists(WORDS, min_size=1, max_size=3, unique=True).map(tuple),
        target=st.sampled_from([None, *get_args(Target)]),
        numeric=st.booleans(),
        why=WORDS,
        cost=st.sampled_from(get_args(Cost)),
        beside=st.lists(SPECS, max_size=2).map(lambda specs: config(*specs)),
    ),
    max_size=3,
)
PAIRS = st.lists(st.tuples(WORDS, WORDS), max_size=3).map(tuple)


@given(
    FACTORS, st.dictionaries(WORDS, st.lists(SPECS, max_size=3).map(lambda specs: config(*specs))), PAIRS, PAIRS, PAIRS
)
def test_what_was_explored_is_read_again_as_it_was(
    factors: list[Factor],
    anchors: dict[str, tuple[SettingSpec, ...]],
    symptoms: tuple[tuple[str, str], ...],
    left_out: tuple[tuple[str, str], ...],
    unseen: tuple[tuple[str, str], ...],
) -> None:
    """A search that goes on asks the same questions."""
    explored = Explored(tuple(factors), anchors, symptoms, left_out, unseen)

    assert from_document(json.loads(json.dumps(as_document(explored)))) == explored


BACKLOG, BUDGET, TRACKED = "net.core.netdev_max_backlog", "net.core.netdev_budget", "net.netfilter.nf_conntrack_max"


def _everywhere(facts: Mapping[str, str], kind: Kind = "bridge") -> KernelLab:
    """A lab whose every host has these facts too."""
    stand = lab(kind)
    for kernel in stand.kernels:
        kernel.facts |= facts
    return stand


def _of(stand: Lab, word: str, **asked: object) -> tuple[dict[Target | None, tuple[str, ...]], dict[str, str]]:
    """The candidates of a word by target, and what is left out."""
    found = space(ENTRIES, stand, stand.read(), **{"symptoms": {}, "refusal": lambda *_: "", **asked})  # type: ignore[arg-type]  # what a case changes
    return {each.target: each.values for each in found.factors if each.setting == word}, dict(found.left_out)


@pytest.mark.parametrize("shown", [("node",), ("guest",), ("guest", "node")])
@pytest.mark.parametrize(("symptom", "word"), [("backlog-drops", BACKLOG), ("time-squeeze", BUDGET),
                                               ("conntrack", TRACKED)])  # fmt: skip
def test_a_sysctl_is_turned_on_the_part_of_the_path_whose_counters_show_its_symptom(
    symptom: str, word: str, shown: tuple[Target, ...]
) -> None:
    """The hypervisor's own queue of packets is no other host's: a factor for each part, and the other part named."""
    stand = _everywhere({f"sysctl/{word}": "100"})
    factors, left_out = _of(stand, word, symptoms={symptom: shown})
    named = {"guest": word, "node": f"{word} on the node"}

    assert set(factors) == {None if each == "guest" else each for each in shown}
    assert {name for name in named.values() if name in left_out} == {
        name for target, name in named.items() if target not in shown
    }
    assert all(f"no sign of {symptom}" in left_out[name] for name in named.values() if name in left_out)


def test_rings_and_coalescing_of_a_hypervisors_nic_are_turned_there() -> None:
    """Where its ring ran over, and though the guests' NICs have none; where no end has one nothing is tried on them."""
    stand = lab()
    for kernel in stand.kernels:
        if kernel.name == "node":
            kernel.facts |= {"ring/port-a/rx": "256", "ring/port-a/rx-most": "4096", "coalesce/port-a/rx-usecs": "3"}
    rings, left_out = _of(stand, "rx-ring", symptoms={"rx-ring-drops": ("node",)}, most="d3")
    usecs, _ = _of(stand, "rx-usecs")

    assert rings == {"node": ("1024", "2048", "4096")}
    assert set(usecs) <= {"node"}
    assert left_out["ring.rx"] == "no sign of rx-ring-drops on the ends"


def test_a_setting_of_every_device_is_turned_where_its_symptom_is() -> None:
    """On both sides at once where both show it, or where nothing says which."""
    stand = lab()
    for kernel in stand.kernels:
        kernel.facts |= {f"link/{each.device}/gro_max_size": "65536" for each in stand.path if each.host is kernel}
    alone, _ = _of(stand, "gro_max_size", symptoms={"softirq-bound": ("node",)})
    both, _ = _of(stand, "gro_max_size", symptoms={"softirq-bound": ("guest", "node")})

    assert (set(alone), set(both)) == ({"node"}, {None})


def test_a_knob_of_sockets_has_no_effect_by_design_on_a_node() -> None:
    """It is turned at the ends; of the node it is said so, and where to set it."""
    stand = _everywhere({f"sysctl/{RMEM}": "4096 131072 6291456", "sysctl/net.ipv4.ip_early_demux": "1"})
    factors, left_out = _of(stand, RMEM, symptoms=WINDOW)
    demux, told = _of(stand, "net.ipv4.ip_early_demux")
    routed, _ = _of(_everywhere({"sysctl/net.ipv4.ip_early_demux": "1"}, "routed"), "net.ipv4.ip_early_demux")

    assert set(factors) == {None}
    assert left_out[f"{RMEM} on the node"].startswith("no effect by design: it acts on sockets that end on the machine")
    assert "set it in the guest" in left_out[f"{RMEM} on the node"]
    assert set(demux) == {None}
    assert told["net.ipv4.ip_early_demux on the node"].startswith("no effect by design: it acts on packets")
    assert set(routed) == {None, "node"}


@pytest.mark.parametrize(("word", "entries"), [("tso", ("feature.tx-tcp-segmentation", "feature.tx-tcp6-segmentation")),
                                               ("congestion_control", (CONGESTION_CONTROL,))])  # fmt: skip
def test_a_word_of_a_plan_asks_for_every_knob_that_it_turns(word: str, entries: tuple[str, ...]) -> None:
    """As a factor or with the reason: a group of features, and what has a short name."""
    stand = lab()
    found = space(ENTRIES, stand, stand.read(), symptoms={}, refusal=lambda *_: "", only=(word,), most="d3")
    named = {each.knob for each in found.factors} | {name for name, _ in found.left_out}

    assert set(entries) <= named
    assert {each.setting for each in found.factors} <= {each.split("feature.")[-1] for each in entries}


def test_the_queues_of_a_physical_nic_are_not_set_by_the_page_of_a_guests() -> None:
    """`ethtool -L` resets it for seconds, whoever asks; in a guest of virtio it costs nothing."""
    stand = _everywhere({"channel/eth0/combined": "1", "channel/eth0/combined-most": "8"})
    bound = {"softirq-bound": ("guest", "node")}
    physical, left_out = _of(stand, "channels", symptoms=bound)
    allowed, _ = _of(stand, "channels", symptoms=bound, most="d3")
    virtual, _ = _of(stand, "channels", symptoms=bound, virtio=True)

    assert physical == {}
    assert left_out["channel.combined"].startswith("its disruption is d3")
    assert "not virtio's" in left_out["guest.inside.channels"]
    assert allowed == {None: ("2", "4", "8")}
    assert virtual == {None: ("2", "4")}


def test_pages_of_one_word_are_one_factor_with_the_values_of_all() -> None:
    """fq_codel beside fq: a word is set once, and each of its values is a candidate."""
    stand = lab()
    for kernel in stand.kernels:
        kernel.facts |= {f"qdisc/{each.device}/root": "pfifo_fast 0:" for each in stand.path if each.host is kernel}
    found, _ = _of(stand, "qdisc")

    assert found == {None: ("fq", "fq_codel")}


def test_a_knob_that_nettune_does_not_turn_is_named() -> None:
    """Whatever a search might turn and no word of a plan sets stands in the list, with that."""
    stand = lab()
    told = dict(space(ENTRIES, stand, stand.read(), symptoms={}, refusal=lambda *_: "").left_out)
    without = {each.id for each in ENTRIES if each.policy in {"A", "C"} and not each.setting}

    assert without
    assert {told[each] for each in without} == {"nettune does not turn it: a plan has no word for it"}
