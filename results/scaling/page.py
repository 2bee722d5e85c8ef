"""A density run as one HTML file: the answer, the curves, the table. No request leaves it, nothing runs in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from results.records import Run
from results.scaling import nodes, told
from results.scaling.answer import Answer, Loaded
from results.scaling.counted import Counted
from results.scaling.kept import Noted
from results.scaling.slo import Term
from results.series import Chart
from results.summary import plain
from results.units import iso

_TEMPLATES = Path(__file__).parent.parent / "templates"
_BESIDE = ("p99", "p50", "cpu", "loss", "fairness")


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that a page, a table or a document shows of one run. `symptoms` are of trials with `symptoms_at`."""

    run: Run
    trials: Sequence[Loaded]
    terms: Sequence[Term]
    answer: Answer
    counted: Counted
    symptoms: Sequence[str]
    symptoms_at: int
    lost: Sequence[tuple[int, str]]
    outages: Sequence[float] = ()  # s, the longest of a pair in each trial whose leg was taken
    down: Answer | None = None  # the same question to the windows with one leg down
    noted: Sequence[Noted] = ()


def page(found: Findings, others: Sequence[Findings] = ()) -> str:
    """The HTML text, `others` beside it."""
    from results.scaling import beside  # noqa: PLC0415 - it is of Findings

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    headings, rows = told.table(found.answer, found.counted.costs)
    return environment.get_template("capacity.html.j2").render(
        run=found.run,
        started=iso(found.run.started_at),
        trials=len(found.trials),
        slo=", ".join(term.text for term in found.terms),
        sentence=beside.sentence(found, others),
        down=told.down(found.down, found.outages),
        bounds=[told.bound(each, found.answer.measured) for each in found.answer.allowed],
        symptoms=found.symptoms,
        symptoms_at=found.symptoms_at,
        lost=found.lost,
        noted=[told.noted(each) for each in found.noted],
        curve=told.curve_lines(found.answer),
        pictures=[_picture(chart) for chart in _charts(found)],
        headings=headings,
        rows=rows,
        split=told.split_table(found.counted.splits),
        tcp=told.tcp_table(found.counted.transfers),
        nodes=nodes.table(nodes.spared(found.answer)),
        beside=beside.table((found, *others)) if others else None,
        plan=yaml.safe_dump(plain(found.run.plan), sort_keys=False, allow_unicode=True),
    )


def _charts(found: Findings) -> list[Chart]:
    from results.charts import scaling  # noqa: PLC0415 - loads matplotlib, which no other output needs

    beside = (scaling.measured(found.run, found.trials, metric, found.terms) for metric in _BESIDE)
    return [
        scaling.goodput(found.run, found.trials, found.answer, found.terms),
        *(each for each in beside if each is not None),
    ]


def _picture(chart: Chart) -> dict[str, object]:
    drawing = Markup(chart.svg)  # noqa: S704 - drawn by us; charts escape every name they are given
    return {"title": chart.title, "drawing": drawing, "caption": chart.caption}
