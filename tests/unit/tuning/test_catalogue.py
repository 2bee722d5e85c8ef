"""The catalogue of knobs: what ships holds together, what is broken is named, and what cannot gain is not offered."""

import dataclasses
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.diagnosis import SYMPTOMS
from results.errors import WrongInput
from tuning.knobs.candidates import left_out, offered, same
from tuning.knobs.catalogue import Entry, catalogue, chosen, entries_for, entry, load, meant
from tuning.knobs.table import KNOBS, LAB_ONLY, check

ENTRIES = tuple(catalogue().values())
NEVER = {"loopback", "rx-fcs", "rx-all"}  # words that are known and always refused
SMALL = """\
version: 1
guides:
  esnet: somebody's page
kinds:
  sysctl:
    about: below /proc/sys
    read: {sysctl: NAME}
    setting: NAME
    scope: namespace
    namespace: own
    disruption: d0
knobs:
- id: net.core.somaxconn
  kind: sysctl
  about: Longest queue of connections
  type: number
  range: [0, 2147483647]
  candidates: [4096, 16384]
  maximum: yes
  policy: C
  symptom: listen-overflow
  source: [man listen(2), guide esnet]
"""


def test_what_ships_is_whole() -> None:
    """Nothing of the survey is lost, every kind is used, every symptom named is one that a diagnosis can find."""
    assert len(ENTRIES) == 323
    assert {each.symptom for each in ENTRIES} - {""} <= set(SYMPTOMS)
    by_hand = {each.setting for each in ENTRIES if each.how in {"by-hand", "boot"}} - {""}
    assert by_hand == {"vm-queues", "vm-rx-queue-size", "vm-host-mtu", "smp_affinity_list"} & by_hand  # no one file


@pytest.mark.parametrize("each", [each for each in ENTRIES if each.setting], ids=lambda each: each.id)
def test_every_setting_takes_its_candidates(each: Entry) -> None:
    """A search writes no value that the plan's own check would refuse."""
    for value in each.candidates:
        assert check(each.setting, value) == ("", "")
    if not each.candidates:
        assert not check(each.setting, "1")[0].endswith("is no knob that nettune knows")


def test_what_is_set_with_a_knob_is_a_setting_that_takes_the_value() -> None:
    """The published pairs: napi.rst and the commit that made the one; drivers that refuse the other alone."""
    found = {each.setting: dict(each.beside) for each in ENTRIES if each.beside}

    assert found == {"rx-usecs": {"adaptive-rx": "off"}, "napi_defer_hard_irqs": {"gro_flush_timeout": "20000"}}
    assert all(check(word, value) == ("", "") for beside in found.values() for word, value in beside.items())


def test_a_value_that_the_other_knob_does_not_take_is_told() -> None:
    """By the line of the knob that is to be set with it."""
    other = SMALL.split("knobs:\n")[1].replace("net.core.somaxconn", "net.core.other")
    with pytest.raises(WrongInput, match=r"catalogue.yaml:\d+: knobs\[1\].with.*'-1' of net.core.somaxconn is outside"):
        load(SMALL + other + "  with: {net.core.somaxconn: -1}\n", "catalogue.yaml")


def test_every_word_of_the_table_is_in_the_catalogue() -> None:
    """What a plan may set has a page in the catalogue, but for what only a lab has and what is always refused."""
    words = {word for kind, knob in KNOBS.items() if kind not in LAB_ONLY for word in knob.words()}

    assert {word for word in words if not entries_for(word)} == NEVER


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        ("net.ipv4.tcp_rmen", "did you mean 'net.ipv4.tcp_rmem'?"),
        ("congestion_control", "that word turns net.ipv4.tcp_congestion_control"),
        ("gc_thresh1", "that may be net.ipv4.neigh.default.gc_thresh1, net.ipv6.neigh.default.gc_thresh1"),
        ("zzz", "`nettune knobs` lists them"),
    ],
)
def test_an_unknown_id_names_the_nearest(asked: str, hint: str) -> None:
    """A typo costs one more command; a plan's word leads to its knob."""
    with pytest.raises(WrongInput) as error:
        entry(asked)

    assert hint == error.value.hint


def test_a_knob_is_meant_by_its_last_part_or_its_word_where_one_alone_has_it() -> None:
    """Its own id first; where several have it none is chosen for the operator."""
    assert meant("tcp_rmem") is meant("net.ipv4.tcp_rmem") is entry("net.ipv4.tcp_rmem")
    assert meant("smp_affinity_list").id == "cpu.irq.smp_affinity"
    assert meant("rx-gro").id == "feature.rx-gro"
    assert all(meant(name) is each for name, each in catalogue().items())
    for several in ("gc_thresh1", "rx", "tso", "rmem", ""):
        with pytest.raises(WrongInput):
            meant(several)


def test_a_filter_takes_words_and_policies() -> None:
    """All the words must be met, in whatever order."""
    assert [each.id for each in chosen("MSS probing")] == ["net.ipv4.tcp_base_mss"]
    assert {each.policy for each in chosen("sysctl", ("A", "C"))} == {"A", "C"}
    assert chosen("no such knob") == ()


BROKEN = {
    "unknown key": ("candidates:", "candidate:", "catalogue.yaml:18: knobs[0]: unknown key 'candidate'",
                    "did you mean 'candidates'?"),
    "unknown kind": ("kind: sysctl", "kind: syctl", ":14: knobs[0].kind: 'syctl' is none of", "did you mean 'sysctl'?"),
    "unknown symptom": ("listen-overflow", "listen-overflows", ":21: knobs[0].symptom: 'listen-overflows' is none of",
                        "did you mean 'listen-overflow'?"),
    "unknown first symptom": ("symptom: listen-overflow", "first_under: listen-overflows",
                              ":21: knobs[0].first_under: 'listen-overflows' is none of",
                              "did you mean 'listen-overflow'?"),
    "first where it waits": ("symptom: listen-overflow", "symptom: listen-overflow\n  first_under: retransmits",
                             ":22: knobs[0].first_under: net.core.somaxconn waits for listen-overflow anyway", ""),
    "unknown policy": ("policy: C", "policy: Z", ":20: knobs[0].policy: 'Z' is none of A, C, R, V, D, X", ""),
    "no trigger": ("  symptom: listen-overflow\n", "", ":20: knobs[0].policy: net.core.somaxconn has policy C and", ""),
    "no source": ("  source: [man listen(2), guide esnet]\n", "", ":13: knobs[0]: net.core.somaxconn has no 'source'",
                  ""),
    "unknown source": ("man listen", "mam listen", ":22: knobs[0].source[0]: 'mam' is none of", "did you mean 'man'?"),
    "unknown guide": ("guide esnet]", "guide esmet]", ":22: knobs[0].source[1]: 'esmet' is none of", "did you mean"),
    "out of range": ("16384]", "-1]", ":18: knobs[0].candidates[1]: candidate '-1' is outside 0 … 2147483647", ""),
    "no number": ("16384]", "many]", ":18: knobs[0].candidates[1]: candidate 'many' is no whole number", ""),
    "twice": ("16384]", "4096]", ":18: knobs[0].candidates: a candidate stands twice", ""),
    "bad range": ("[0, 2147483647]", "[0]", ":17: knobs[0].range: [least, most] belongs here", ""),
    "two ways to read": ("{sysctl: NAME}", "{sysctl: NAME, file: /x}", ":7: kinds.sysctl.read: exactly one of", ""),
    "no maximum": ("type: number", "type: text", ":19: knobs[0].maximum: a text is no maximum", ""),
    "set with nothing": ("  source: [man", "  with: {net.core.somaxcon: 1}\n  source: [man",
                         ":22: knobs[0].with.net.core.somaxcon: 'net.core.somaxcon' is the setting of no other knob",
                         "did you mean 'net.core.somaxconn'?"),
    "other version": ("version: 1", "version: 2", ":1: version: 2 is outside 1 … 1 format", ""),
}  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words", "hint"), BROKEN.values(), ids=BROKEN)
def test_a_broken_catalogue_names_file_line_and_key(old: str, new: str, words: str, hint: str) -> None:
    """Who edits it by hand is led to the place."""
    assert old in SMALL
    with pytest.raises(WrongInput) as error:
        load(SMALL.replace(old, new), "catalogue.yaml")

    assert words in str(error.value)
    assert str(error.value).startswith("catalogue.yaml:")
    assert hint in error.value.hint


def test_the_same_knob_twice_is_told() -> None:
    """The second is wrong, by its line."""
    with pytest.raises(WrongInput, match=r"catalogue.yaml:23: knobs\[1\].id: 'net.core.somaxconn' stands twice"):
        load(SMALL + SMALL.split("knobs:\n")[1], "catalogue.yaml")


@given(st.text())
def test_any_other_text_is_wrong_input(text: str) -> None:
    """No other exception leaves the reader."""
    with pytest.raises(WrongInput, match=r"^catalogue\.yaml"):
        load(text, "catalogue.yaml")


def made(**values: object) -> Entry:
    """An entry of a number with these fields."""
    small: Mapping[str, Entry] = load(SMALL, "catalogue.yaml")
    return dataclasses.replace(small["net.core.somaxconn"], **values)  # type: ignore[arg-type] # names of fields


NUMBERS = st.integers(0, 2**40)
TRIPLES = st.lists(NUMBERS, min_size=3, max_size=3).map(lambda row: " ".join(map(str, sorted(row))))


@given(st.lists(NUMBERS.map(str), unique=True), NUMBERS)
def test_of_a_maximum_only_larger_candidates_are_offered(candidates: list[str], now: int) -> None:
    """Exactly those above the present value, in the catalogue's order."""
    expected = tuple(each for each in candidates if int(each) > now)

    assert expected == offered(made(candidates=tuple(candidates)), str(now))


@given(st.lists(NUMBERS.map(str), unique=True), NUMBERS)
def test_what_is_not_offered_lowers_a_maximum_or_is_already_so(candidates: list[str], now: int) -> None:
    """Each candidate is either worth a trial or named with why not, in the words of `profile check`."""
    entry = made(candidates=tuple(candidates))
    dropped = left_out(entry, str(now))

    assert set(candidates) == {*offered(entry, str(now)), *(each for each, _ in dropped)}
    assert all((why == "lowers a maximum") is (int(each) < now) for each, why in dropped)


@given(st.lists(TRIPLES, unique=True), TRIPLES)
def test_a_triple_never_lowers_anything(candidates: list[str], now: str) -> None:
    """Its most is above the present one, and neither least nor default sinks."""
    present = [int(word) for word in now.split()]
    found = offered(made(type="numbers", candidates=tuple(candidates)), now)

    assert len(found) == len(set(found))
    for each in found:
        numbers = [int(word) for word in each.split()]
        assert numbers[2] > present[2]
        assert numbers[0] >= present[0]
        assert numbers[1] >= present[1]
        assert numbers == sorted(numbers)


@given(st.sampled_from(ENTRIES), st.none() | st.text(max_size=20) | NUMBERS.map(str) | TRIPLES)
def test_what_is_offered_was_never_the_present_value(each: Entry, now: str | None) -> None:
    """Of every knob that ships, for whatever a host may say; without a host all candidates stand."""
    found = offered(each, now)

    assert len(found) <= len(each.candidates)
    if now is None:
        assert each.candidates == found
    else:
        assert not [value for value in found if same(each, value, now)]


@pytest.mark.parametrize(
    ("name", "now", "expected"),
    [
        ("net.ipv4.tcp_rmem", "4096 131072 33554432",
         ("4096 131072 67108864", "4096 131072 134217728", "4096 131072 268435456", "4096 131072 536870912")),
        ("net.ipv4.tcp_wmem", "8192\t65536\t134217728", ("8192 65536 268435456",)),
        ("net.core.rmem_max", "4194304", ("16777216", "67108864", "268435456")),
        ("net.ipv4.tcp_slow_start_after_idle", "1", ("0",)),
        ("queue.threaded", "0", ("on",)),
        ("queue.rps_cpus", "00000000,00000000", ("all", "others")),
        ("net.ipv4.tcp_congestion_control", "bbr", ("cubic",)),
    ],
)  # fmt: skip
def test_what_is_offered_of_knobs_that_ship(name: str, now: str, expected: tuple[str, ...]) -> None:
    """Tuned's 16 MiB is no gain on a kernel whose default is 32 MiB."""
    assert expected == offered(entry(name), now)
