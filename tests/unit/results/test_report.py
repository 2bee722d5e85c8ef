"""The report as HTML text: what it says, that it says it first, and that nothing a plan holds becomes markup."""

import itertools
import re
import subprocess  # noqa: TID251 - asks a fresh interpreter what importing the report loads
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from results.records import Judgement, Run, VerdictWord
from results.report import report
from tests.unit.results.example import (
    DRAWING,
    RECOMMENDATION,
    comparison,
    example_judgement,
    example_run,
    example_trials,
)

NOTHING = Judgement((), (), ())
NO_ADVICE = {"status": "nothing", "sentence": "Nothing is worth changing.", "settings": [], "next_command": ""}
HOSTILE = '<script>alert("x")</script>'
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """The tags, ids and text of a page; `unclosed` is what a browser would have to guess."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.unclosed: list[str] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        self.unclosed += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, and that it is open unless it cannot hold anything."""
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that closes itself, as SVG's do."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost tag, or note that it was another one."""
        if not self._open or self._open.pop() != tag:
            self.unclosed.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        """Collect what is read, styles left out."""
        if not self._open or self._open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        """All text with single spaces."""
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of every `tag`."""
        return [attrs for name, attrs in self.tags if name == tag]


def _full(run: Run | None = None) -> str:
    run = run or example_run()
    trials = example_trials(run)
    return report(run, trials, example_judgement(run, trials), recommendation=RECOMMENDATION)


@pytest.fixture(scope="module")
def html() -> str:
    """The report of the example run."""
    return _full()


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    """The same, parsed."""
    return Page(html)


def test_the_answer_stands_before_everything_else(page: Page) -> None:
    """The sentence and the next command come before any table or chart."""
    sentence, first_table = page.text.index(str(RECOMMENDATION["sentence"])), page.text.index("Settings to confirm")

    assert sentence < first_table
    assert "nettune run --confirm 20260131-120000-k7qd" in page.text[:first_table]


@pytest.mark.parametrize(
    ("status", "words"),
    [("nothing", "No change"), ("candidate", "Candidate, not yet confirmed"), ("confirmed", "Confirmed")],
)
def test_each_status_has_its_own_words(status: str, words: str) -> None:
    """Also when the advice brings no sentence of its own."""
    page = Page(report(example_run(), (), NOTHING, recommendation={"status": status}))

    assert words in page.text


def test_an_unknown_status_is_refused_by_name() -> None:
    """A report does not guess what an advice amounts to."""
    with pytest.raises(ValueError, match="'maybe': not one of nothing, candidate, confirmed"):
        report(example_run(), (), NOTHING, recommendation={"status": "maybe"})


def test_a_recommended_setting_shows_effect_risk_and_undo(page: Page) -> None:
    """What is advised comes with evidence and the way back."""
    assert "mtu 9000 path: every port of vmbr0 +13.6 % [+11.9, +15.4] % 8" in page.text
    assert "drops large packets nettune undo" in page.text


def test_every_verdict_word_is_shown() -> None:
    """Better, worse, equivalent and inconclusive each have word, icon and class."""
    words: tuple[VerdictWord, ...] = ("better", "worse", "equivalent", "inconclusive")
    run = example_run(design=replace(example_run().design, treatments=words, topologies=("bridge",)))
    found = tuple(comparison("bridge", "tcp.goodput", word, verdict=word) for word in words)
    html = report(run, (), Judgement(found, (), ()), recommendation=NO_ADVICE)
    shown = re.findall(r'<span class="verdict (\w+)"><span aria-hidden="true">(.)</span> (\w+)</span>', html)

    assert [(word, icon, word) for word, icon in zip(words, "▲▼=?", strict=True)] == shown


def test_a_comparison_shows_effect_interval_n_and_smallest_visible_effect(page: Page) -> None:
    """The row carries every number the verdict rests on."""
    assert re.search(
        r"jumbo Mean of 8 blocks .{0,80}▲ better candidate \+\d+\.\d % \[\+\d+\.\d, \+\d+\.\d\] % 8 "
        r"\d+\.\d → \d+\.\d Gbit/s .{0,200}±\d+\.\d %",
        page.text,
    )


def test_a_guard_that_did_not_hold_shows_interval_limit_and_what_was_visible(page: Page) -> None:
    """A guard that held takes one line; one that is open says what would have been seen."""
    assert (
        "? p99 RTT not resolved +3.0 % 90 % interval −5.0 % to +12.0 %, limit +10 %, visible from +13.0 %" in page.text
    )
    assert "✓ CPU per 10 Gbit/s ok −20.0 % ✓ drops ok" in page.text


def test_the_bootstrap_interval_stands_beside_the_t_interval() -> None:
    """From 10 blocks on there are two intervals, and both are shown."""
    found = replace(
        comparison("bridge", "tcp.goodput", "jumbo"),
        effect_pct=6.0,
        ci_low_pct=5.0,
        ci_high_pct=7.0,
        boot_low_pct=4.8,
        boot_high_pct=7.3,
        effects=((0, 0.05), (1, 0.06)),
    )
    page = Page(report(example_run(), (), Judgement((found,), (), ()), recommendation=NO_ADVICE))

    assert "[+5.0, +7.0] % bootstrap-t [+4.8, +7.3] %" in page.text


def test_what_the_run_could_not_see_is_said(page: Page) -> None:
    """Smallest visible change, open and skipped cells, lost trials with their causes."""
    assert re.search(r"a change of goodput \(tcp\) of \d+\.\d % or more would have been found", page.text)
    assert "2 of 96 trials gave no number" in page.text
    assert "iperf3: connection refused by 10.77.0.2" in page.text
    assert "wrong path: br0 counted no packets" in page.text
    assert "bond × jumbo the kernel module bonding is not loaded" in page.text


def test_the_noise_is_shown_for_every_topology(page: Page) -> None:
    """The A/A line stands under each table of verdicts."""
    assert page.text.count("The two current arms, which are the same, differ by") == 2


def test_notes_warnings_machine_and_method_are_in_the_report(page: Page) -> None:
    """Whoever gets only this file knows how and where the numbers were made."""
    for words in (
        "what was found on offloads does not transfer to hardware",
        "vlan-10: block 5 has no no-tso trial",
        "Linux 6.8.12-4-pve x86_64",
        "randomised complete blocks, seed 20260131",
        "8 comparisons: 4 treatments × 2 topologies × goodput (tcp), adjusted by Holm",
        "application bytes that the receiver read in the window",
        "net.ipv4.tcp_rmem 4096 16384 16384",
        "provider: netns",
        "generator-bound",
        "0.1.0+d75df87",
    ):
        assert words in page.text


def test_every_trial_is_in_the_table(page: Page) -> None:
    """96 trials, 96 rows, folded away until asked for."""
    assert "All 96 trials" in page.text
    assert page.text.count("2026-01-31 12:0") >= 96


def test_charts_and_the_drawing_of_each_path_are_inline(page: Page) -> None:
    """Each topology has four charts, four more folded away, and its drawing; all have a name."""
    labels = [svg["aria-label"] or "" for svg in page.all("svg")]

    assert len([label for label in labels if label.endswith(", bridge")]) == 4 + 3
    assert [label for label in labels if label.startswith("The path")] == ["The path bridge", "The path vlan-10"]
    assert {"img"} == {svg["role"] for svg in page.all("svg")}


def test_ids_are_unique_in_the_whole_page(page: Page) -> None:
    """Two topologies may bring the same drawing: its arrow tips are still their own."""
    ids = [name for _, attrs in page.tags if (name := attrs.get("id"))]

    assert DRAWING.count('id="tip"') == 1
    assert len(ids) == len(set(ids))


def test_every_reference_inside_the_page_finds_its_target(html: str, page: Page) -> None:
    """Links of the contents, labels of sections, markers and clip paths."""
    ids = {attrs.get("id") for _, attrs in page.tags}
    wanted = set(re.findall(r'href="#([^"]+)"|aria-labelledby="([^"]+)"|url\(#([^)]+)\)', html))

    assert {a or b or c for a, b, c in wanted} <= ids


def test_the_page_asks_for_nothing_and_runs_nothing(html: str, page: Page) -> None:
    """No address but the names of XML namespaces, no script, and a policy that forbids both."""
    without_namespaces = re.sub(r'xmlns(:\w+)?="[^"]*"', "", html)
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv"))

    assert not re.findall(r"https?://|@import|//\w+\.\w+/", without_namespaces)
    assert not page.all("script")
    assert [link["href"] for link in page.all("link")] == ["data:,"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def test_every_tag_is_closed(page: Page) -> None:
    """A browser has nothing to guess."""
    assert not page.unclosed


def test_the_page_has_a_language_a_title_and_captions(page: Page) -> None:
    """What a screen reader asks for first."""
    assert page.all("html")[0]["lang"] == "en"
    assert page.all("meta")[0]["charset"] == "utf-8"
    assert len(page.all("table")) == len(page.all("caption"))
    assert len(page.all("title")) == 1 + len(page.all("svg"))


def test_headings_skip_no_level(page: Page) -> None:
    """One h1, and never an h3 straight under it."""
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]

    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_hostile_names_are_text_wherever_they_stand() -> None:
    """Plan, topology, treatment, notes, facts, causes, flags, settings, advice: none of it becomes markup."""
    run = example_run(
        plan_name=HOSTILE,
        plan={"name": HOSTILE},
        run_id=HOSTILE,
        revision=HOSTILE,
        confirms=HOSTILE,
        design=replace(example_run().design, treatments=(HOSTILE,), topologies=(HOSTILE,)),
        drawings={},
        skipped=((HOSTILE, HOSTILE),),
        machine={HOSTILE: HOSTILE},
        settings={HOSTILE: ({"setting": HOSTILE, "value": HOSTILE, "target": HOSTILE},)},
        notes=(HOSTILE,),
    )
    trials = tuple(replace(t, flags=(HOSTILE,)) for t in example_trials(run))
    trials = (replace(trials[0], status="failed", cause=HOSTILE, samples=()), *trials[1:])
    judgement = replace(example_judgement(run, trials), warnings=(HOSTILE,))
    advice = {
        "status": "candidate",
        "sentence": HOSTILE,
        "next_command": HOSTILE,
        "settings": [dict.fromkeys(("setting", "value", "target", "reason", "risk", "undo"), HOSTILE)],
    }
    html = report(run, trials, judgement, recommendation=advice)
    page = Page(html)

    assert "<script" not in html.lower()
    assert not page.unclosed
    assert page.text.count(HOSTILE) > 30


def test_an_empty_run_is_a_report_that_says_so() -> None:
    """No trial, no verdict: sentences and a figure without data, no error."""
    page = Page(report(example_run(drawings={}, settings={}, machine={}), (), NOTHING, recommendation=NO_ADVICE))

    for words in ("No trial was run.", "No treatment was compared here.", "no data: ", "No drawing was kept."):
        assert words in page.text


def test_a_run_without_topologies_or_treatments_is_still_a_report() -> None:
    """Even a design of nothing is shown rather than failed on."""
    run = example_run(design=replace(example_run().design, treatments=(), topologies=()))

    assert "No trial was run." in Page(report(run, (), NOTHING, recommendation=NO_ADVICE)).text


@pytest.mark.parametrize("status", ["running", "interrupted"])
def test_a_run_that_is_not_complete_says_so_on_top(status: str) -> None:
    """Nobody takes half a run for a whole one."""
    page = Page(report(example_run(status=status, ended_at=None), (), NOTHING, recommendation=NO_ADVICE))

    assert f"since 2026-01-31 12:00 UTC , {status}" in page.text
    assert f"This run is {status}." in page.text


def test_a_confirmation_names_the_run_it_confirms() -> None:
    """The estimate of a confirmation is the gain; its origin is named."""
    page = Page(report(example_run(confirms="20260130-1"), (), NOTHING, recommendation=NO_ADVICE))

    assert "confirms 20260130-1" in page.text


def test_the_same_run_gives_the_same_report(html: str) -> None:
    """No clock and no random id: reports can be compared."""
    assert html == _full()


def test_matplotlib_is_loaded_only_when_charts_are_drawn() -> None:
    """`nettune --help` does not wait for a plotting library."""
    code = "import sys, results.report, results.summary; sys.exit('matplotlib' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
