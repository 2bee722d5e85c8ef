"""The published schemas: they are what the code has, and say of a plan, profile or summary what its reader says."""

import copy
import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bench import document
from bench.plan import shipped
from nettune import schemas
from results.errors import WrongInput
from results.judgement import judge
from results.summary import summary
from tests.unit.nettune.plan_asked import FOREIGN, Asked, Schema, at, branches, example, problem_of, read
from tests.unit.nettune.program import Program, here
from tests.unit.results.example import comparison, example_judgement, example_run, example_trials
from tuning import profile, profile_text
from tuning.knobs.table import KNOBS, check
from tuning.profile_schema import PATTERNS, setting_values
from tuning.recommend import recommend

SCHEMAS: dict[str, Any] = {name: json.loads(schemas.text(name)) for name in schemas.NAMES}  # Any: JSON
PLAN = SCHEMAS["plan"]
LEAST = {"name": "least", "topologies": ["direct"], "probes": [{"kind": "tcp"}], "primary": "tcp.goodput"}
SECTIONS = ("topologies", "probes")  # lists whose members are chosen by their kind


def _wrong(name: str, value: object) -> str:
    """What the schema has against a value; "" when nothing."""
    found = jsonschema.Draft202012Validator(SCHEMAS[name]).iter_errors(value)
    return "; ".join(f"{error.json_path}: {error.message}" for error in found)


@pytest.mark.parametrize("name", schemas.NAMES)
def test_what_is_published_is_what_the_code_has(name: str) -> None:
    """`make schemas` writes them; each is a schema of draft 2020-12."""
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])

    assert schemas.made()[name] == schemas.text(name), "run `make schemas`"
    assert SCHEMAS[name]["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", schemas.NAMES)
def test_a_schema_is_printed_as_it_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """`nettune schema plan > plan.schema.json`."""
    program: Program = here(tmp_path, monkeypatch, capsys)

    assert program("schema", name).require().stdout == schemas.text(name)


@pytest.mark.parametrize("name", list(shipped()))
def test_every_plan_that_ships_is_valid(name: str) -> None:
    """As YAML 1.1 reads it (off is false), and as an editor's YAML 1.2 does (off is a word)."""
    text = shipped()[name].read_text(encoding="utf-8")
    words = yaml.safe_load(re.sub(r": (off|on)\b", r": '\1'", text))

    assert _wrong("plan", yaml.safe_load(text)) == ""
    assert _wrong("plan", words) == ""


# -- the readers and the schema of a plan know the same -------------------------------------------------------------


def _kinds(section: str) -> dict[str, Schema]:
    """Kind -> its schema, of the section's members that are mappings."""
    found = {}
    for schema in branches(PLAN["properties"][section]["items"], PLAN):
        if schema.get("type") == "object":
            kind = schema["properties"]["kind"]
            found.update(dict.fromkeys([kind["const"]] if "const" in kind else kind["enum"], schema))
    return found


KEYS = [  # (section, kind, key): every kind with every key that any kind of its section has
    (section, kind, key)
    for section in SECTIONS
    for kind in _kinds(section)
    for key in sorted({key for schema in _kinds(section).values() for key in schema["properties"]} - {"kind"})
]


def _with(section: str, kind: str, key: str) -> dict[str, Any]:  # Any: JSON
    """The least plan with a member of that kind and one more key, at a value that some schema of that key takes."""
    known = _kinds(section)
    holder = next(schema for schema in (known[kind], *known.values()) if key in schema["properties"])
    required = {each: example(known[kind]["properties"][each], PLAN) for each in known[kind].get("required", ())}
    return {**LEAST, section: [{**required, "kind": kind, key: example(holder["properties"][key], PLAN)}]}


@pytest.mark.parametrize(("section", "kind", "key"), KEYS)
def test_a_kind_takes_the_same_keys_in_the_schema_and_in_its_reader(section: str, kind: str, key: str) -> None:
    """A key that only one of them knows is named by this test's own name; values may still be refused together."""
    refused = bool(FOREIGN.search(problem_of(_with(section, kind, key))))
    known = key in _kinds(section)[kind]["properties"]

    assert known is not refused, (
        f"{section}, kind {kind}: {key!r} is known to only one: bench/plan_schema.py, its reader"
    )


SAMPLES: list[dict[str, Any]] = [  # Any: JSON
    LEAST,
    {**LEAST, "treatments": {"t": {"settings": {"mtu": {"value": 1400, "target": "path"}}, "target": "guest"}}},
    {**LEAST, "blocks": {"up_to": 6}, "margin_pct": 5, "goal": "latency", "about": "x", "lab": {"provider": "netns"}},
    {**LEAST, "blocks": 2},
    {
        **LEAST,
        "lab": {
            "provider": "qemu",
            "cpus": 1,
            "memory_mb": 512,
            "nic": "virtio-net",
            "queues": 1,
            "ring": 512,
            "host_mtu": 1500,
            "nodes": "on",
            "node": {"ssh": "root@pve1", "sudo": "on", "jump": "root@gate"},
        },
    },
    *(_with(*each) for each in KEYS),
]


def test_what_readers_ask_is_what_the_schema_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every key, word and range that any reader asks for, against the schema at that place; what differs is named."""
    differing = {}
    questions = set()
    for sample in SAMPLES:
        for each in read(sample, monkeypatch)[0]:
            questions.add((each.path, each.question))
            if each.path != "primary" and (
                difference := _difference(sample, each)
            ):  # primary's words are the plan's own
                differing[f"{each.question} at {each.path or 'the top'}"] = difference

    assert differing == {}
    assert {("", "mapping"), ("blocks.up_to", "integer"), ("probes[0].kind", "choice")} <= questions
    assert {kind for _, kind in questions} == {"mapping", "choice", "number", "integer"}


def _difference(sample: dict[str, Any], asked: Asked) -> set[object]:  # Any: JSON
    """What only the reader or only the schema takes there."""
    section, _, rest = asked.path.partition("[")
    of_kinds = list(_kinds(section).values()) if section in SECTIONS and rest.count(".") == 0 else []
    if section in SECTIONS and rest.endswith("].kind"):
        return set(asked.answers) ^ set(_kinds(section))
    found = _of_treatment(asked.path) if section.startswith("treatments.") else at(PLAN, sample, asked.path)
    if asked.question == "mapping":
        # Readers may ask for the keys of all kinds at once, and then for those of the kind: the test above has those.
        each, every = (
            {key for schema in chosen for key in schema.get("properties", {})} for chosen in (found, of_kinds)
        )
        return set() if set(asked.answers) == every else set(asked.answers) ^ each
    if asked.question == "choice":
        if asked.path == "lab.provider":  # it chooses the alternative itself
            found = [each["properties"]["provider"] for each in at_top("lab")]
        words = {str(word) for schema in found for word in (*schema.get("enum", ()), schema.get("const", ""))}
        return set(asked.answers) ^ (words - {""})
    ranges: set[object] = {(schema.get("minimum"), schema.get("maximum")) for schema in found}
    numbers = [word for schema in found for word in schema.get("enum", ()) if isinstance(word, int)]
    ranges |= {(min(numbers), max(numbers))} if numbers else set()
    return set() if asked.answers in ranges else {asked.answers, *ranges}


def at_top(key: str) -> list[Schema]:
    """The alternatives of a key of the plan."""
    return list(branches(PLAN["properties"][key], PLAN))


def _of_treatment(path: str) -> list[Schema]:
    """The places below a treatment: names with dots make its paths ambiguous."""
    defs = PLAN["$defs"]
    if path.endswith(".target"):
        return [defs["target"]]
    return [defs["treatment"]["oneOf"][1]] if path.count(".") == 1 else [defs["mtu"]["anyOf"][1]]


def test_every_word_of_every_knob_is_in_the_schemas() -> None:
    """What a knob takes is a known word or matches a known pattern, and the other way round."""
    words = {word for knob in KNOBS.values() for word in knob.words()}
    never = {word for word in words if check(word, "on")[0] and check(word, "1500")[0] and word not in setting_values()}

    assert words - never - set(setting_values()) == set()
    assert {word for word in setting_values() if not any(knob.takes(word) for knob in KNOBS.values())} == set()
    assert set(SCHEMAS["profile"]["properties"]["settings"]["items"]["properties"]["setting"]["anyOf"][0]["enum"]) == (
        set(setting_values())
    )
    assert PATTERNS


AGREED: Mapping[str, tuple[dict[str, Any], bool]] = {  # Any: JSON
    "the least plan": ({}, True),
    "no probe": ({"probes": []}, False),
    "a probe without a kind": ({"probes": [{"duration_s": 1}]}, False),
    "a key of another kind": ({"probes": [{"kind": "latency", "streams": 2}], "primary": "latency.rtt_p50"}, False),
    "too short": ({"probes": [{"kind": "tcp", "duration_s": 0.1}]}, False),
    "a probe's name with a dot": ({"probes": [{"kind": "tcp", "name": "a.b"}], "primary": "a.b.goodput"}, False),
    "controls in order": ({"probes": [{"kind": "tcp", "congestion_control": ["bbr", "reno"]}]}, True),
    "half a stream": ({"probes": [{"kind": "tcp", "streams": 1.5}]}, False),
    "an unknown topology": ({"topologies": ["brigde"]}, False),
    "no topology": ({"topologies": []}, False),
    "a wrong name": ({"name": "My Path"}, False),
    "an unknown key": ({"block": 8}, False),
    "one block": ({"blocks": 1}, False),
    "looks": ({"blocks": {"up_to": 12}, "treatments": {"t": {"mtu": 1400}}}, True),
    "looks elsewhere": ({"blocks": {"up_to": 10}, "treatments": {"t": {"mtu": 1400}}}, False),
    "guests": ({"lab": {"provider": "qemu", "queues": 2, "nodes": "on"}}, True),
    "guests on a node": ({"lab": {"provider": "qemu", "node": {"ssh": "root@pve1", "jump": {"ssh": "gate"}}}}, True),
    "a node without an address": ({"lab": {"provider": "qemu", "node": {"sudo": "on"}}}, False),
    "a key that no node has": ({"lab": {"provider": "qemu", "node": {"ssh": "root@pve1", "password": "x"}}}, False),
    "a node of namespaces": ({"lab": {"provider": "netns", "node": {"ssh": "root@pve1"}}}, False),
    "another provider": ({"lab": {"provider": "docker"}}, False),
    "guests of namespaces": ({"lab": {"provider": "netns", "cpus": 2}}, False),
    "settings": ({"treatments": {"t": {"tso": False, "net.ipv4.tcp_rmem": "4096 16384 16384"}}}, True),
    "the long form": ({"treatments": {"t": {"settings": {"tso": {"value": "off", "target": "path"}}}}}, True),
    "a target of its own": ({"treatments": {"t": {"settings": {"tso": "off"}, "target": "guest"}}}, True),
    "a wrong target": ({"treatments": {"t": {"settings": {"tso": "off"}, "target": "host"}}}, False),
    "a switch that is neither": ({"treatments": {"t": {"tso": "maybe"}}}, False),
    "an unknown knob": ({"treatments": {"t": {"tsoo": "off"}}}, False),
    "a knob that is never tuned": ({"treatments": {"t": {"loopback": "on"}}}, False),
    "an MTU that is none": ({"treatments": {"t": {"mtu": 100}}}, False),
    "nothing set": ({"treatments": {"t": {}}}, False),
    "current as a treatment": ({"treatments": {"current": {"mtu": 1400}}}, False),
    "a margin of nothing": ({"margin_pct": 0}, False),
    "a goal": ({"goal": "balanced"}, True),
    "no goal": ({"goal": "speed"}, False),
}


@pytest.mark.parametrize(("changes", "fine"), AGREED.values(), ids=AGREED)
def test_schema_and_reader_agree(changes: Mapping[str, Any], fine: bool) -> None:
    """What one takes the other takes; what one refuses the other refuses."""
    whole = {**LEAST, **changes}

    assert (_wrong("plan", whole) == "") is fine, _wrong("plan", whole)
    assert (problem_of(whole) == "") is fine, problem_of(whole)


JUNK = st.sampled_from([-1, 0, 1, 1.5, 7, 10**7, [], ["x"], {}, {"x": 1}, {"kind": "tcp"}, {"value": 1}])
WORDS = {"name", "about", "congestion_control"}  # to the reader words, also where they look like numbers


@given(st.sampled_from(sorted(shipped())), st.data())
def test_an_editor_underlines_nothing_that_run_takes(name: str, data: st.DataObject) -> None:
    """Any value of a shipped plan replaced or removed: if it is a plan still, the schema takes it."""
    whole = yaml.safe_load(shipped()[name].read_text(encoding="utf-8"))
    changed: Any = copy.deepcopy(whole)  # Any: YAML
    place = changed
    while True:
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if key not in WORDS and isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
            place = place[key]
            continue
        break
    if data.draw(st.booleans()) and isinstance(place, dict):
        del place[key]
    elif key not in WORDS:
        place[key] = data.draw(JUNK)
    if not problem_of(changed):
        assert _wrong("plan", changed) == ""


# -- profile ------------------------------------------------------------------------------------------------------


def _profile() -> dict[str, Any]:  # Any: YAML
    run = replace(
        example_run(),
        settings={"t": (
            {"setting": "tso", "value": "off", "target": "path", "was": "on"},
            {"setting": "net.ipv4.tcp_rmem", "value": "4096 16384 16384", "target": "guest", "was": "4096 131072 1"},
            {"setting": "mtu", "value": "9000", "target": "path", "was": "1500"},
        )},
    )  # fmt: skip
    best = replace(
        comparison("bridge", "tcp.goodput", "t"), verdict="better", candidate=True, effect_pct=9.0, ci_low_pct=8.0,
        ci_high_pct=10.0,
    )  # fmt: skip
    other = replace(best, treatment="u", candidate=False, verdict="worse")
    found: dict[str, Any] = yaml.safe_load(
        profile_text.text(run, recommend(run, replace(NOTHING, comparisons=(best, other))))
    )
    return found


NOTHING = judge(example_run().design, ())


def test_a_written_profile_is_valid_and_uses_every_key() -> None:
    """What `recommend` writes; a key that the schema lacks, or has for nothing, is named."""
    written = _profile()
    known = SCHEMAS["profile"]["properties"]
    each_known = known["settings"]["items"]["properties"]

    assert _wrong("profile", written) == ""
    assert set(known) ^ {"format", *profile.TOP} == set()
    assert set(each_known) ^ set(profile.SETTING) == set()
    assert set(written) <= set(known)
    assert set(written["settings"][0]) >= set(profile.SETTING) - {*profile.CITED}
    assert {field.name for field in fields(profile.Profile)} == set(profile.TOP)
    assert {field.name for field in fields(profile.ProfileSetting)} == set(profile.SETTING)
    assert _wrong("profile", yaml.safe_load(profile_text.text(example_run(), recommend(example_run(), NOTHING)))) == ""


WRONG_PROFILES: Mapping[str, dict[str, Any]] = {  # Any: JSON
    "no settings": {"format": 1, "name": "x", "status": "nothing"},
    "a newer format": {"format": 4, "name": "x", "status": "nothing", "settings": []},
    "an unknown status": {"format": 1, "name": "x", "status": "sure", "settings": []},
    "an unknown key": {"format": 1, "name": "x", "status": "nothing", "settings": [], "extra": 1},
    "an unknown knob": {"format": 1, "name": "x", "status": "candidate",
                        "settings": [{"setting": "tsoo", "value": "off", "target": "path"}]},
    "no target": {"format": 1, "name": "x", "status": "candidate", "settings": [{"setting": "tso", "value": "off"}]},
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG_PROFILES.values(), ids=WRONG_PROFILES)
def test_a_wrong_profile_is_refused_by_schema_and_reader(wrong: dict[str, Any]) -> None:
    """The same slip in both."""
    with pytest.raises(WrongInput):
        profile.parse(document.read(json.dumps(wrong), "mine.yaml"))

    assert _wrong("profile", wrong) != ""


# -- show ---------------------------------------------------------------------------------------------------------


def _shown(**changes: object) -> dict[str, Any]:  # Any: JSON
    run = example_run(**changes)
    trials = example_trials(run)
    return summary(run, trials, example_judgement(run, trials))


def test_the_document_of_show_is_valid_and_uses_every_key() -> None:
    """A key that only the document or only the schema has is named, in every list of it."""
    shown = _shown()

    assert _wrong("show", shown) == ""
    assert _wrong("show", _shown(ended_at=None, status="interrupted", confirms="x", label="y")) == ""
    assert set(SCHEMAS["show"]["properties"]) ^ set(shown) == set()
    assert set(SCHEMAS["show"]["required"]) ^ set(shown) == set()
    for key, schema in SCHEMAS["show"]["properties"].items():
        if schema.get("type") == "array" and shown[key] and isinstance(shown[key][0], dict):
            assert set(schema["items"]["properties"]) ^ set(shown[key][0]) == set(), key


WRONG_SHOWS: Mapping[str, dict[str, Any]] = {  # Any: JSON
    "another version": {"version": 0},
    "an unknown status": {"status": "fine"},
    "no seed": {"seed": None},
    "a time of no kind": {"started": 1769860800},
    "an unknown key": {"surprise": 1},
    "half a verdict": {"treatments": [{"topology": "bridge"}]},
}


@pytest.mark.parametrize("wrong", WRONG_SHOWS.values(), ids=WRONG_SHOWS)
def test_a_wrong_document_is_refused(wrong: dict[str, Any]) -> None:
    """What a program may rely on, it may rely on."""
    assert _wrong("show", {**_shown(), **wrong}) != ""
