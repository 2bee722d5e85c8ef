"""One node fewer: the VMs of the lost one run on the rest, and each of those carries what the curve says; pure.

What was measured is one node. Of k nodes that are alike, each with n VMs, the loss of one leaves n + ⌈n / (k−1)⌉ on
each of the others; that is at most the node's own count as long as n ≤ count × (k−1) / k.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from results.scaling.answer import Answer, Count
from results.scaling.curve import REACH, Between
from results.units import DASH, Scale, digits, scale

NODES = (2, 3, 4, 5, 6, 8)
_COLUMNS = ("nodes", "vms_per_node", "low", "high", "or_more", "vms_in_all", "then_on_each", "filled_then_on_each",
            "filled_goodput_per_vm_bps", "filled_low_bps", "filled_high_bps")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spared:
    """Of so many nodes: how many VMs each may have such that the level holds without one of them, and how many then.

    `filled`: how many are on each then where all had as many as one carries; goodput of each VM then, in bit/s.
    """

    nodes: int
    each: Count
    after: int
    filled: int
    goodput: Between | None


def spared(answer: Answer) -> tuple[Spared, ...]:
    """By number of nodes; none where no VM fits, or no level was asked for."""
    most = answer.most
    if most is None or not most.value:
        return ()
    found = []
    for nodes in NODES:
        value, low, high = (each * (nodes - 1) // nodes for each in (most.value, most.low, most.high))
        filled = _after(most.value, nodes)
        found.append(Spared(nodes, Count(value, low, high, most.open), _after(value, nodes), filled,
                            _goodput(answer, filled)))  # fmt: skip
    return tuple(found)


def _after(each: int, nodes: int) -> int:
    return each + math.ceil(each / (nodes - 1))


def _goodput(answer: Answer, n: int) -> Between | None:
    """Of each of `n` VMs, as far as it is known."""
    if answer.curve is not None:
        found = answer.curve.forecast(n) if n <= REACH * answer.curve.most else None
    else:
        found = next((row.goodput for row in answer.rows if row.n == n), None)
    return None if found is None else Between(found.value / n, found.low / n, found.high / n)


def table(rows: Sequence[Spared]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows."""
    used = scale("goodput", "bit/s", [each.goodput.value for each in rows if each.goodput])
    headings = ("nodes", "VMs on each", "95 %", "in all", "on each without one", "filled: then on each",
                f"and per VM, {used.label}")  # fmt: skip
    return headings, [_cells(each, used) for each in rows]


def _cells(row: Spared, used: Scale) -> tuple[str, ...]:
    each, more = row.each, " or more" if row.each.open else ""
    between = f"{each.low}–{each.high}" if each.low != each.high else f"{each.low}"
    goodput = DASH
    if found := row.goodput:
        goodput = "{} ({}–{})".format(*(digits(rate / used.factor) for rate in (found.value, found.low, found.high)))
    return (str(row.nodes), f"{each.value}{more}", f"{each.low} or more" if more else between,
            f"{row.nodes * each.value}{more}", str(row.after), str(row.filled), goodput)  # fmt: skip


def documents(rows: Sequence[Spared]) -> list[dict[str, object]]:
    """The same for machines."""
    return [dict(zip(_COLUMNS, _values(row), strict=True)) for row in rows]


def _values(row: Spared) -> tuple[object, ...]:
    goodput = asdict(row.goodput).values() if row.goodput else (None, None, None)
    return (row.nodes, *asdict(row.each).values(), row.nodes * row.each.value, row.after, row.filled, *goodput)


def spreadsheet(rows: Sequence[Spared]) -> str:
    """CSV of that; empty where nothing is known."""
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(documents(rows))
    return text.getvalue()
