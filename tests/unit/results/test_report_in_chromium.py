"""The report in a real browser: it asks for nothing and nothing is cut off, at 360 px and in the dark."""

import functools
import html
import json
import os
import re
import shutil
import subprocess  # noqa: TID251 - a browser is no Host; the test starts it on a file of its own
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from results.report import report
from tests.unit.results.example import RECOMMENDATION, example_judgement, example_run, example_trials

pytestmark = [pytest.mark.chromium, pytest.mark.apart]

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # whatever is asked for, nothing leaves this machine
    "--enable-logging=stderr",
    "--v=0",
)
LONG = ("a-treatment-whose-name-somebody-made-very-long-indeed", "x", "$x^2$", "<b>bold</b>")

# Runs outside the report, which allows no script: the report stands in a frame of the wanted width.
MEASURE = """
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentDocument;
  const view = page.defaultView;
  const root = page.documentElement;
  const closed = root.scrollWidth;
  page.querySelectorAll("details").forEach(d => { d.open = true; });
  const cut = [], crossed = [];
  let smallest = 99;
  page.querySelectorAll("figure svg").forEach(svg => {
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
    const zoom = frame.width / svg.viewBox.baseVal.width;
    svg.querySelectorAll("text").forEach(t => {
      smallest = Math.min(smallest, parseFloat(view.getComputedStyle(t).fontSize) * zoom);
    });
    texts.forEach(([words, box], i) => {
      if (box.left < 0 || box.right > root.clientWidth) cut.push(words);
      texts.slice(i + 1).forEach(([other, b]) => {
        const width = Math.min(box.right, b.right) - Math.max(box.left, b.left);
        const height = Math.min(box.bottom, b.bottom) - Math.max(box.top, b.top);
        if (width > 1 && height > 0.35 * Math.min(box.height, b.height)) crossed.push(words + " | " + other);
      });
    });
  });
  const found = {
    closed, open: root.scrollWidth, view: root.clientWidth, cut, crossed, smallest,
    page: view.getComputedStyle(page.body).backgroundColor,
    ink: view.getComputedStyle(page.body).color,
    label: view.getComputedStyle(page.querySelector("figure svg text")).fill,
  };
  document.querySelector("pre").textContent = JSON.stringify(found);
});
"""


@dataclass(frozen=True)
class Seen:
    """What the browser printed, complained of, and asked the network for on the page's behalf."""

    dom: str
    console: list[str]
    requests: list[str]


def _chromium() -> str:
    found = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
    )
    if not found and os.environ.get("CI") == "true":
        pytest.fail("no chromium on the PATH: in CI this tier has to run")
    if not found:
        pytest.skip("no chromium on the PATH")
    return found


def _opened(page: Path, folder: Path, *more: str) -> Seen:
    log = folder / "net.json"
    argv = [_chromium(), *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}", *more]
    done = subprocess.run([*argv, "--dump-dom", page.as_uri()], capture_output=True, text=True, check=True, timeout=60)
    console = [line for line in done.stderr.splitlines() if ":CONSOLE:" in line]
    return Seen(done.stdout, console, _requests(log))


def _requests(log: Path) -> list[str]:
    """URLs that a page asked for over the network; the browser's own have no origin as their initiator."""
    record = json.loads(log.read_text(encoding="utf-8"))
    start = record["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = [event.get("params", {}) for event in record["events"] if event["type"] == start]
    return [str(p["url"]) for p in asked if "url" in p and p.get("initiator") != "not an origin"]


@functools.cache  # a browser takes two seconds to start; several tests look at one page
def _measured(which: str, width: int, scheme: str = "1") -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wrapper = folder / "frame.html"
        wrapper.write_text(
            f'<!DOCTYPE html><meta charset="utf-8"><body style="margin:0"><pre></pre><iframe style="border:0" '
            f'width="{width}" height="900" srcdoc="{html.escape(TEXTS[which]())}"></iframe><script>{MEASURE}</script>',
            encoding="utf-8",
        )
        dark = f"--blink-settings=preferredColorScheme={scheme}"
        seen = _opened(wrapper, folder, "--window-size=1300,1000", dark)
    found = re.search(r"<pre>(\{.*?\})</pre>", seen.dom, re.DOTALL)
    assert found, "the frame was not measured"
    measured = json.loads(html.unescape(found.group(1)))
    assert isinstance(measured, dict)
    return measured


@functools.cache
def _example() -> str:
    run = example_run()
    trials = example_trials(run)
    return report(run, trials, example_judgement(run, trials), recommendation=RECOMMENDATION)


@functools.cache
def _with_long_names() -> str:
    run = example_run(plan_name="n" * 90, design=replace(example_run().design, treatments=LONG))
    trials = tuple(replace(t, cause="c" * 120) if t.cause else t for t in example_trials(run))
    return report(run, trials, example_judgement(run, trials), recommendation=RECOMMENDATION)


TEXTS: Mapping[str, Callable[[], str]] = {"example": _example, "long names": _with_long_names}


def test_the_check_sees_a_page_that_asks_and_complains(tmp_path: Path) -> None:
    """A page with an image from elsewhere and an error is caught, so the next test can fail."""
    page = tmp_path / "leak.html"
    page.write_text('<img src="http://leak.invalid/a.png"><script>console.error("bad")</script>', encoding="utf-8")
    seen = _opened(page, tmp_path)

    assert seen.requests == ["http://leak.invalid/a.png"]
    assert any('"bad"' in line for line in seen.console)


@pytest.mark.parametrize("policy", [True, False], ids=["as written", "without its policy"])
def test_the_report_asks_for_nothing_and_complains_of_nothing(policy: bool, tmp_path: Path) -> None:
    """No request and no console message, also when the policy that would block one is taken out."""
    text = _example()
    page = tmp_path / "report.html"
    page.write_text(text if policy else re.sub(r"<meta http-equiv.*?>", "", text), encoding="utf-8")
    seen = _opened(page, tmp_path)

    assert "Candidate, not yet confirmed" in seen.dom
    assert (seen.requests, seen.console) == ([], [])


@pytest.mark.parametrize("width", [360, 768, 1200])
@pytest.mark.parametrize("which", ["example", "long names"])
def test_nothing_is_wider_than_the_page(which: str, width: int) -> None:
    """On a phone one scrolls down only, with every detail closed and with every detail open."""
    found = _measured(which, width)

    assert (width, width, width) == (found["view"], found["closed"], found["open"])


@pytest.mark.parametrize("width", [360, 768, 1200])
@pytest.mark.parametrize("which", ["example", "long names"])
def test_no_label_of_a_chart_is_cut_or_lies_on_another(which: str, width: int) -> None:
    """With the fonts that the browser really has."""
    found = _measured(which, width)

    assert (found["cut"], found["crossed"]) == ([], [])


def test_the_smallest_label_can_be_read_on_a_phone() -> None:
    """Nine pixels or more at 360 px."""
    smallest = _measured("example", 360)["smallest"]
    assert isinstance(smallest, float)

    assert smallest >= 9


@pytest.mark.parametrize(("scheme", "dark"), [("1", False), ("0", True)], ids=["light", "dark"])
def test_charts_turn_with_the_page(scheme: str, dark: bool) -> None:
    """In the dark the page is dark, and the charts' labels have the page's ink."""
    found = _measured("example", 360, scheme)
    red = int(re.findall(r"\d+", str(found["page"]))[0])

    assert (red < 64) is dark
    assert found["ink"] == found["label"]
