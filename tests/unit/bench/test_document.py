"""YAML with places: file, line and key in every error; nothing but WrongInput ever comes out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.document import Node, from_plain, nearest, read, replaced
from results.errors import WrongInput

TEXT = """\
name: x
probes:
  - {kind: tcp, duration_s: 0.8}
  - kind: latency
    size_bytes: 60
treatments:
  no-tso: {tso: off}
"""
BITS = ("a", "b", ": ", "- ", "\n", "  ", "{", "}", "[", "]", ",", "&x", " *x", "!!int ", "'", '"', "\\x4",
        "\\U00110000",         "\\ud800", "|\n", "#", "---\n", "%YAML 1.1\n",
        "? ", "<<: ", "\t", "~", "\x00", "\ud800", "ü")  # fmt: skip
PLAIN = st.recursive(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc-_.: #\n", max_size=5), inner, max_size=3),
    max_leaves=10,
)


def _at(node: Node, *path: str | int) -> Node:
    for step in path:
        node = node.mapping()[step] if isinstance(step, str) else node.items()[step]
    return node


@pytest.mark.parametrize(
    ("path", "place", "shown"),
    [(("name",), "p.yaml:1", "name"), (("probes",), "p.yaml:2", "probes"), (("probes", 0), "p.yaml:3", "probes[0]"),
     (("probes", 0, "duration_s"), "p.yaml:3", "probes[0].duration_s"),
     (("probes", 1, "size_bytes"), "p.yaml:5", "probes[1].size_bytes"),
     (("treatments", "no-tso", "tso"), "p.yaml:7", "treatments.no-tso.tso")],
)  # fmt: skip
def test_every_value_knows_its_file_line_and_key(path: tuple[str | int, ...], place: str, shown: str) -> None:
    """A key's own line counts, also when its value begins below."""
    node = _at(read(TEXT, "p.yaml"), *path)

    assert (node.place, node.path) == (place, shown)
    with pytest.raises(WrongInput) as raised:
        node.wrong("is odd", hint="mend it")
    assert (str(raised.value), raised.value.hint) == (f"{place}: {shown}: is odd", "mend it")


WRONG = {
    "empty": ("", "p.yaml:1: the file is empty"), "comment only": ("# nothing\n", "p.yaml:1: the file is empty"),
    "marker only": ("---\n", "p.yaml:1: the file is empty"),
    "twice": ("a: 1\nb: 2\na: 3\n", "p.yaml:3: a: this key stands twice"),
    "twice below": ("a:\n  b: 1\n  b: 2\n", "p.yaml:3: a.b: this key stands twice"),
    "open": ("a: [1, 2\n", "p.yaml:2: this is no YAML"), "tab": ("a:\n\tb: 1\n", "p.yaml:2: this is no YAML"),
    "two documents": ("a: 1\n---\nb: 2\n", "p.yaml:2: this is no YAML"), "control": ("a: \x07", "this is no YAML"),
    "key is a list": ("[a, b]: c\n", "p.yaml:1: a key must be a word"),
    "too deep": ("[" * 25 + "]" * 25, "nested too deeply"), "much too deep": ("[" * 2000, "no YAML"),
    "loop": ("a: &x [*x]\n", "p.yaml:1"), "beyond unicode": ('a: "\\U00110000"\n', "p.yaml"),
    "far beyond unicode": ('a: "\\UFFFFFFFF"\n', "p.yaml"), "half a character": ('a: "\\ud800"\n', "p.yaml:1: a"),
    "half a character as key": ('"\\ud800": 1\n', "p.yaml:1"),
    "unknown anchor": ("a: *b\n", "p.yaml:1: this is no YAML"),
    "bomb": ("".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}' if n else 'x'] * 10)}]\n" for n in range(9)), "p.yaml"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_what_is_no_document_is_wrong_input_with_its_line(text: str, words: str) -> None:
    """Broken, doubled, endless and empty documents are refused where they break."""
    with pytest.raises(WrongInput) as raised:
        read(text, "p.yaml")

    assert words in str(raised.value)


def test_an_alias_stands_for_what_it_names() -> None:
    """Anchors are YAML's own way to say a thing twice."""
    assert read("a: &x {tso: off}\nb: *x\n", "p").plain() == {"a": {"tso": "off"}, "b": {"tso": "off"}}


def test_scalars_stay_as_they_were_written() -> None:
    """No Norway problem: off, 0x1F, 1e3, ~ and 2026-01-01 are text until somebody asks for a number."""
    text = "a: off\nb: 0x1F\nc: 1e3\nd: ~\ne: 2026-01-01\nf: 4096 131072\n"

    assert read(text, "p").plain() == {
        "a": "off", "b": "0x1F", "c": "1e3", "d": "~", "e": "2026-01-01", "f": "4096 131072"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "expected"),
    [("on", "on"), ("On", "on"), ("true", "on"), ("YES", "on"), ("off", "off"), ("False", "off"), ("no", "off"),
     ("1", "1"), ("reno", "reno"), ("On demand", "On demand")],
)  # fmt: skip
def test_yamls_ways_to_say_on_and_off(word: str, expected: str) -> None:
    """A knob's value is on or off, however YAML's reader is used to writing it."""
    assert Node(word, "p:1").setting() == expected


@pytest.mark.parametrize(
    ("word", "words"),
    [("800ms", "'800ms' is no number of seconds"), ("", "no number"), ("nan", "no number"), ("inf", "no number"),
     ("1e999", "no number"), ("0x10", "no number"), ("-1", "-1 is outside 0 … 60 seconds"), ("61", "outside")],
)  # fmt: skip
def test_a_number_that_is_none_or_out_of_range(word: str, words: str) -> None:
    """The unit stands in the message, since the key names it and not the value."""
    with pytest.raises(WrongInput) as raised:
        Node(word, "p:1", "duration_s").number(0, 60, "seconds")

    assert words in str(raised.value)


def test_whole_numbers_are_whole() -> None:
    """1.5 streams are none; 2e1 is 20."""
    with pytest.raises(WrongInput, match=r"1\.5 is no whole number of streams"):
        Node("1.5", "p:1").integer(1, 8, "streams")

    assert Node("2e1", "p:1").integer(1, 100, "streams") == 20


@pytest.mark.parametrize(
    ("act", "words"),
    [(lambda node: node["text"].mapping(), "a mapping (key: value) belongs here, not 'x'"),
     (lambda node: node["text"].items(), "a list belongs here, not 'x'"),
     (lambda node: node["list"].text(), "a single value belongs here, not a list"),
     (lambda node: node["mapping"].text(), "a single value belongs here, not a mapping"),
     (lambda node: node["mapping"].setting(), "a single value belongs here, not a mapping"),
     (lambda node: node["list"].number(0, 1, "seconds"), "a single value belongs here, not a list"),
     (lambda _: Node(None, "p:1").text(), "a single value belongs here, not nothing")],
)  # fmt: skip
def test_the_wrong_kind_of_value_is_named(act: object, words: str) -> None:
    """The error says what belongs here and what stands there."""
    members = read("text: x\nlist: [1]\nmapping: {a: b}\n", "p").mapping()
    with pytest.raises(WrongInput) as raised:
        act(members)  # type: ignore[operator]  # one of the lambdas above

    assert words in str(raised.value)


def test_an_unknown_key_names_the_nearest_or_all() -> None:
    """A slip gets its word, anything else the list."""
    node = read("a:\n  duraton_s: 1\n", "p.yaml").mapping()["a"]
    with pytest.raises(WrongInput) as near:
        node.mapping(("duration_s", "streams"))
    with pytest.raises(WrongInput) as far:
        node.mapping(("kind", "streams"))

    assert str(near.value) == "p.yaml:2: a: unknown key 'duraton_s'"
    assert near.value.hint == "did you mean 'duration_s'?"
    assert far.value.hint == "known here: kind, streams"


def test_a_choice_names_the_nearest_word() -> None:
    """One of the given words, or the list of them and the nearest."""
    with pytest.raises(WrongInput, match="'forwards' is none of forward, reverse") as raised:
        Node("forwards", "p:1").choice(("forward", "reverse"))

    assert raised.value.hint == "did you mean 'forward'?"
    assert nearest("zzz", ("forward",)) == ""


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=30) | st.lists(st.sampled_from(BITS), max_size=14).map("".join))
def test_any_text_parses_or_is_wrong_input(text: str) -> None:
    """No other exception, and what was parsed can be stored and shown."""
    try:
        node = read(text, "p.yaml")
    except WrongInput:
        return

    str(node.plain()).encode()


@settings(max_examples=60, deadline=None)
@given(value=st.dictionaries(st.text("abc-_.: #\n", max_size=5), PLAIN, min_size=1, max_size=3))
def test_a_stored_document_reads_as_it_was_written(value: dict[str, object]) -> None:
    """Kept as plain data, read again: the same text, and errors that name where it was kept."""
    node = from_plain(value, "the run's plan")

    assert node.plain() == value
    assert {each.place for each in node.mapping().values()} == {"the run's plan"}


REPLACED = {
    "a scalar": (("name",), "y", {"name": "y"}),
    "an empty scalar": (("name",), '""', {"name": ""}),
    "a new key": (("blocks",), "{up_to: 6}", {"blocks": {"up_to": "6"}}),
    "a new branch": (("lab", "provider"), "netns", {"lab": {"provider": "netns"}}),
    "a member of a list": (("probes", "tcp", "duration_s"), "2",
                           {"probes": [{"kind": "tcp", "duration_s": "2"}, {"kind": "latency", "size_bytes": "60"}]}),
    "a new treatment": (("treatments", "x"), "{gro: on}",
                        {"treatments": {"no-tso": {"tso": "off"}, "x": {"gro": "on"}}}),
}  # fmt: skip


@pytest.mark.parametrize(("path", "text", "expected"), REPLACED.values(), ids=REPLACED)
def test_a_member_is_replaced_by_yaml(path: tuple[str, ...], text: str, expected: dict[str, object]) -> None:
    """Only that member changes; the document that it was taken from stays as it was."""
    root = read(TEXT, "p.yaml")
    before = root.plain()
    after = replaced(root, path, text, "--set x").plain()

    assert isinstance(before, dict)
    assert after == before | expected
    assert root.plain() == before


def test_what_an_option_brought_says_so() -> None:
    """An error inside a replaced member names the option and the whole path of the key."""
    root = replaced(read(TEXT, "p.yaml"), ("treatments", "x"), "{tso: maybe, list: [a]}", "--set treatments.x=…")
    node = _at(root, "treatments", "x")

    assert (node.place, node.path) == ("--set treatments.x=…", "treatments.x")
    assert _at(node, "tso") == Node("maybe", "--set treatments.x=…", "treatments.x.tso")
    assert _at(node, "list", 0).path == "treatments.x.list[0]"


@pytest.mark.parametrize(
    ("path", "text", "words"),
    [(("probes", "udp", "streams"), "4", "--set x: probes has no member named 'udp'"),
     (("name", "deeper"), "4", "--set x: name has no members"), (("name",), "[", "--set x:1: this is no YAML")],
)  # fmt: skip
def test_a_replacement_that_finds_no_place_is_wrong_input(path: tuple[str, ...], text: str, words: str) -> None:
    """The option is named, and what it looked for."""
    with pytest.raises(WrongInput) as raised:
        replaced(read(TEXT, "p.yaml"), path, text, "--set x")

    assert words in str(raised.value)
