"""A run as Markdown for a ticket or merge request: advice, verdicts, noise, medians, and what is missing."""

import re
from collections.abc import Iterable, Mapping, Sequence

from results import rows, series
from results.account import account
from results.paths import PathDifference, path_differences
from results.records import Judgement, Run, Trial
from results.slopes import slopes
from results.summary import medians
from results.units import DASH, NBSP, quantity, scale, typeset


def ticket(run: Run, trials: Sequence[Trial], judgement: Judgement, *, advice: Mapping[str, object]) -> str:
    """The run as GitHub-flavoured Markdown; `advice` holds a sentence and a next_command, as in results.report."""
    design = run.design
    parts = [f"## {_cell(run.plan_name)}: {_cell(design.primary)}", f"**{_cell(advice.get('sentence', ''))}**"]
    if advice.get("next_command"):
        parts.append(f"Next: `{advice['next_command']}`")
    parts += [_verdicts(run, trials, judgement), _noise(run, judgement)]
    parts.append(_paths(trials, path_differences(design, trials)))
    parts.append(
        _list(
            "Loads and losses",
            (f"{topology}: {said}" for topology in design.topologies for said in account(run, trials, topology)),
        )
    )
    parts.append(_list("Cost of one more", rows.slope_sentences(slopes(run, trials))))
    parts.append(_list("What this run could see", rows.sight(run, trials, judgement)))
    parts += [_medians(run, trials, topology) for topology in design.topologies]
    parts += [_list("Skipped", (f"{cell}: {why}" for cell, why in run.skipped)), _lost(run, trials)]
    parts += [_list("Warnings", judgement.warnings), _list("Notes", run.notes)]
    blocks = f"{'up to ' if design.sequential else ''}{design.blocks} blocks"
    facts = ", ".join(f"{key} {value}" for key, value in run.machine.items() if value and value != "absent")
    where = f"Run {run.run_id}, {rows.span(run)}, {run.status}, {blocks}, seed {run.seed}, nettune {run.revision}"
    parts.append(f"<sub>{_cell(f'{where}; {facts}' if facts else where)}</sub>")
    return "\n\n".join(part for part in parts if part) + "\n"


def _verdicts(run: Run, trials: Sequence[Trial], judgement: Judgement) -> str:
    found = []
    for topology in run.design.topologies:
        for row in rows.verdict_rows(run, trials, judgement, topology, primary=True):
            guards = "; ".join(f"{each.metric} {each.word}" for each in row.guards if each.word != "ok")
            word = f"{row.verdict}{' (screening)' if row.screening else ''}{' (candidate)' if row.candidate else ''}"
            effect = f"{row.effect} {row.interval}" if row.interval != DASH else row.effect
            found.append((topology, row.treatment, word, effect, row.n, row.medians, row.visible, guards or "held"))
    heads = ("topology", "treatment", "verdict", "effect, 95 % interval", "n:", "median", "sees ≥", "guards")
    return _table(heads, found) if found else "Nothing was compared."


def _paths(trials: Sequence[Trial], differences: Sequence[PathDifference]) -> str:
    found = [
        (row.topology, row.verdict, f"{row.effect} {row.interval}", row.n, row.medians)
        for row in rows.path_rows(trials, differences)
        if row.primary
    ]
    heads = ("topology", "against the first", "difference, 95 % interval", "n:", "median")
    return f"**Paths compared, current only**\n\n{_table(heads, found)}" if found else ""


def _noise(run: Run, judgement: Judgement) -> str:
    return _list(
        "Noise", (f"{topology}: {rows.noise(judgement, topology, run.design.primary)}"
                  for topology in run.design.topologies)
    )  # fmt: skip


def _medians(run: Run, trials: Sequence[Trial], topology: str) -> str:
    """A row per arm and a column per metric of the plan, each column in one unit."""
    found = {
        (str(each["arm"]), f"{each['probe']}.{each['metric']}"): each
        for each in medians(trials)
        if each["topology"] == topology
    }
    metrics = [metric for metric in run.design.metrics if any(name == metric for _, name in found)]
    if not metrics:
        return ""
    columns = []
    for metric in metrics:
        unit = series.unit_in(trials, metric)
        used = scale(metric, unit, [_number(each["median"]) for (_, name), each in found.items() if name == metric])
        columns.append((metric, unit, used))
    table = []
    for arm in series.arms(run):
        known = {metric: found.get((arm, metric)) for metric in metrics}
        n = max((_number(each["n"]) for each in known.values() if each), default=0)
        cells = [
            quantity(metric, unit, _number(each["median"]), to=used) if (each := known[metric]) else DASH
            for metric, unit, used in columns
        ]
        table.append((arm, f"{n:g}", *cells))
    heads = ("arm", "n:", *(f"{series.label_of(metric)}:" for metric in metrics))
    return f"**Medians on {_cell(topology)}**\n\n{_table(heads, table)}"


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _lost(run: Run, trials: Sequence[Trial]) -> str:
    lost = (
        f"{row.trial.topology} block {row.trial.block + 1} {row.trial.arm}: {row.trial.status}: {row.trial.cause}"
        for row in rows.lost_trials(run, trials)
    )
    return _list("Trials without a number", lost)


def _list(title: str, lines: Iterable[str]) -> str:
    told = "\n".join(f"- {_cell(line)}" for line in lines)
    return f"**{title}**\n\n{told}" if told else ""


def _table(heads: Sequence[str], table: Iterable[Sequence[object]]) -> str:
    """Columns whose head ends with a colon are right-aligned numbers."""
    ruler = ("---:" if head.endswith(":") else "---" for head in heads)
    lines = [[_cell(head.removesuffix(":")) for head in heads], [*ruler], *([_cell(each) for each in r] for r in table)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: object) -> str:
    """Text that cannot end its cell, its line or its list, nor turn into a link, a tag or a style; `code` stays."""
    text = " ".join(typeset(value).replace(NBSP, " ").split())
    if text.count("`") % 2:
        text = text.replace("`", "'")
    return re.sub(r"([\\*|<>]|(?<!\w)_|_(?!\w)|\[(?=[^\]]*\]\())", r"\\\1", text)
