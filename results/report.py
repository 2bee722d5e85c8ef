"""One run as one HTML file: the answer first, then what it rests on. No request leaves the file, nothing runs in it.

`rows` puts the numbers into words, `charts` draws them, `templates/report.html.j2` arranges both. Whatever came
from a plan, a host or a tool is escaped; only our own drawings (charts, `Run.drawings`) go in as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from results import rows, series, svg
from results.account import account
from results.checks import checks
from results.paths import path_differences
from results.records import CURRENT_ARMS, Comparison, Judgement, Run, SameArms, Trial
from results.series import Chart
from results.slopes import slopes
from results.summary import plain
from results.units import iso, typeset

_TEMPLATES = Path(__file__).parent / "templates"
_SENTENCES = {  # for each status, where the advice brings no sentence of its own
    "nothing": "Nothing is worth changing.",
    "candidate": "There is a candidate; confirm it on fresh blocks.",
    "confirmed": "Confirmed on fresh blocks.",
}
_COLUMNS = (  # of the recommended settings: key, heading
    ("setting", "Setting"),
    ("value", "Value"),
    ("target", "Where"),
    ("effect", "Effect"),
    ("interval", "95 % interval"),
    ("n", "n"),
    ("reason", "Why"),
    ("risk", "Risk"),
    ("undo", "Undo"),
)
_PANELS = 4  # metrics of the chart in time order; the others are in the table of all trials


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart ready for the page."""

    title: str
    drawing: Markup
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """Everything of one topology."""

    name: str
    anchor: str
    verdicts: tuple[rows.VerdictRow, ...]
    secondary: tuple[rows.VerdictRow, ...]
    noise: str
    account: tuple[str, ...]
    pictures: tuple[Picture, ...]
    more_pictures: tuple[Picture, ...]
    drawing: Markup | None


def report(run: Run, trials: Sequence[Trial], judgement: Judgement, *, recommendation: Mapping[str, object]) -> str:
    """The report as HTML text.

    `recommendation` holds status ("nothing", "candidate" or "confirmed"), sentence, settings (a list of mappings
    with setting, value, target, reason, effect, interval, n, risk, undo; a missing key shows as a dash) and
    next_command. Raises ValueError for any other status.
    """
    status = str(recommendation.get("status", "nothing"))
    if status not in _SENTENCES:
        raise ValueError(f"recommendation status {status!r}: not one of {', '.join(_SENTENCES)}")
    settings = recommendation.get("settings", ())
    differences = path_differences(run.design, trials)
    page = _environment().get_template("report.html.j2")
    return page.render(
        run=run,
        design=run.design,
        started=iso(run.started_at),
        span=rows.span(run),
        status=status,
        sentence=str(recommendation.get("sentence", "")) or _SENTENCES[status],
        next_command=str(recommendation.get("next_command", "")),
        columns=_COLUMNS,
        settings=[s for s in settings if isinstance(s, Mapping)] if isinstance(settings, list | tuple) else [],
        primary=series.defined(run, run.design.primary),
        primary_label=series.label_of(run.design.primary),
        checks=checks(run, trials),
        sections=[_section(run, trials, judgement, topology) for topology in run.design.topologies],
        paths=rows.path_rows(trials, differences),
        path_against=differences[0].against if differences else "",
        slopes=rows.slope_sentences(slopes(run, trials)),
        sight=rows.sight(run, trials, judgement),
        warnings=judgement.warnings,
        marks=series.marks(run),
        current_arms=CURRENT_ARMS,
        arm_settings=rows.arm_settings(run),
        lost=rows.lost_trials(run, trials),
        method=rows.method(run),
        metrics=[(name, series.defined(run, name)) for name in _measured(run, trials)],
        trial_rows=rows.trial_rows(run, trials, _measured(run, trials)),
        plan=yaml.safe_dump(plain(run.plan), sort_keys=False, allow_unicode=True),
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,  # select_autoescape would go by the name, which ends in .j2
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["typeset"] = typeset
    return environment


def _measured(run: Run, trials: Sequence[Trial]) -> list[str]:
    """The design's metrics, then whatever else was sampled, in the order first met."""
    sampled = (s.name for t in trials for s in t.samples)
    return list(dict.fromkeys([*run.design.metrics, *sampled]))


def _section(run: Run, trials: Sequence[Trial], judgement: Judgement, topology: str) -> Section:
    pictures, more = _pictures(run, trials, judgement, topology)
    drawing = run.drawings.get(topology)
    anchor = svg.slug(topology)
    return Section(
        name=topology,
        anchor=anchor,
        verdicts=rows.verdict_rows(run, trials, judgement, topology, primary=True),
        secondary=rows.verdict_rows(run, trials, judgement, topology, primary=False),
        noise=rows.noise(judgement, topology, run.design.primary),
        account=account(run, trials, topology),
        pictures=pictures,
        more_pictures=more,
        drawing=_trusted(svg.fitted(drawing, prefix=f"path-{anchor}", title=f"The path {topology}"))
        if drawing
        else None,
    )


def _pictures(
    run: Run, trials: Sequence[Trial], judgement: Judgement, topology: str
) -> tuple[tuple[Picture, ...], tuple[Picture, ...]]:
    """(what a reader needs, the other metrics): without any trial only the empty effects chart, which says so."""
    from results import charts  # noqa: PLC0415 - loads matplotlib, which no other command needs

    primary = run.design.primary
    here = [t for t in trials if t.topology == topology]
    found = [charts.effects(run, judgement, topology, primary)]
    more = [
        charts.effects(run, judgement, topology, metric)
        for metric in run.design.metrics
        if metric != primary and _has_effects(judgement, topology, metric)
    ]
    if here:
        cpu = [m for m in _measured(run, here) if m.endswith(".cpu_per_10gbit")]
        guarded = [g.metric for g in run.design.guards]
        shown = list(dict.fromkeys([primary, *guarded, *cpu]))[:_PANELS]
        found += [charts.amounts(run, here, topology, metric) for metric in cpu]
        found += [charts.distribution(run, here, topology, name) for name, _, _ in series.distributions(here, topology)]
        found.append(charts.in_time_order(run, here, topology, shown))
    return tuple(_picture(c) for c in found), tuple(_picture(c) for c in more)


def _has_effects(judgement: Judgement, topology: str, metric: str) -> bool:
    cells: list[Comparison | SameArms] = [*judgement.comparisons, *judgement.same_arms]
    return any(c.topology == topology and c.metric == metric and c.effects for c in cells)


def _picture(chart: Chart) -> Picture:
    return Picture(chart.title, _trusted(chart.svg), chart.caption)


def _trusted(drawing: str) -> Markup:
    return Markup(drawing)  # noqa: S704 - drawn by us; charts escape every name they are given
