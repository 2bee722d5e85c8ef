"""Runs side by side, a column each: two topologies, profiles or nodes, and the same question to all of them; pure."""

from collections.abc import Sequence

from results.scaling import told
from results.scaling.arms import PROFILES
from results.scaling.page import Findings
from results.units import DASH, digits, quantity

_FACTS = ("kernel", "cpus", "cpuinfo", PROFILES)  # all but the last of bench.facts.machine


def sentence(found: Findings, others: Sequence[Findings] = ()) -> str:
    """The answer, and how many the others say: `…; with LABEL: 14 VMs (95 %: 13–15)`."""
    own = told.sentence(found.answer, found.symptoms, found.symptoms_at)
    counts = (
        f"with {each.run.label or f'run {each.run.run_id}'}: {told.count(each.answer.most, each.answer.measured)}"
        for each in others
        if each.answer.most is not None
    )
    return "; ".join((own, *counts))


def table(runs: Sequence[Findings]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows; what is alike of plan and machine is left out, goodput and p99 are shown at every shared N."""
    headings = ("", *(each.run.run_id for each in runs))
    plain = [("plan", *(each.run.plan_name for each in runs)), ("label", *(each.run.label or DASH for each in runs))]
    told_apart = [(f"plan: {key}", *(_plain(each.run.plan.get(key)) for each in runs)) for key in _differing(runs)]
    facts = [(fact, *(each.run.machine.get(fact, DASH) for each in runs)) for fact in _FACTS]
    said = [
        ("answer", *(sentence(each) for each in runs)),
        ("with one leg down", *(told.down(each.down) or DASH for each in runs)),
    ]
    shown = [row for row in (*plain, *told_apart, *facts) if len(set(row[1:])) > 1]
    return headings, [*shown, *(row for row in said if set(row[1:]) != {DASH}), *_by_n(runs)]


def _differing(runs: Sequence[Findings]) -> list[str]:
    keys = dict.fromkeys(key for each in runs for key in each.run.plan)
    return [key for key in keys if key not in {"name", "about"}
            and len({_plain(each.run.plan.get(key)) for each in runs}) > 1]  # fmt: skip


def _plain(value: object) -> str:
    return DASH if value is None else str(value)


def _by_n(runs: Sequence[Findings]) -> list[tuple[str, ...]]:
    """Goodput with its difference to the first run's, p99 and cores for 10 Gbit/s where every run has measured them."""
    rows = [{row.n: row for row in each.answer.rows if row.seen} for each in runs]
    found: list[tuple[str, ...]] = []
    for n in sorted(set.intersection(*(set(each) for each in rows))):
        seen = [each[n].seen or 0.0 for each in rows]
        words = [quantity("goodput", "bit/s", value) for value in seen]
        words[1:] = [f"{word} ({100 * (value / seen[0] - 1):+.0f} %)" for word, value in zip(words, seen, strict=True)][
            1:
        ]
        found.append((f"goodput of {n}", *words))
        p99 = [each[n].values.get("p99") for each in rows]
        if None not in p99:
            found.append((f"p99 of {n}", *(told.value_of("p99", value) for value in p99)))
        costs = [each.counted.costs.get(n) for each in runs]
        if None not in costs:
            found.append((f"cores/10G of {n}", *(digits(cost) for cost in costs if cost is not None)))
    return found
