"""The answer in words and cells: for terminals, pages, spreadsheets and machines. Pure; nothing is computed here."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from results.errors import first_of
from results.scaling.answer import Allowed, Answer, Count, Row
from results.scaling.counted import Counted, Split
from results.scaling.curve import Between, Candidate, Curve
from results.scaling.kept import Noted
from results.scaling.transfers import Transfer
from results.units import DASH, Scale, digits, quantity, scale

_MODELS = {
    "linear": "a straight line: every pair adds the same",
    "amdahl": "Amdahl's law: contention, no coherency",
    "usl": "the Universal Scalability Law: contention and coherency",
    "linear-ceiling": "a straight line up to a ceiling",
    "amdahl-ceiling": "Amdahl's law up to a ceiling",
}
_NAMED = 4
_PLACES = {"saturation": "95 % of the most is reached at", "knee": "The knee is at", "peak": "The peak is at"}
_SHOWN: Mapping[str, tuple[str, str]] = {"p50": ("density.rtt_p50", "s"), "p99": ("density.rtt_p99", "s"),
                                         "loss": ("density.loss", "1"), "cpu": ("density.cpu_share", "1")}  # fmt: skip
_COLUMNS = ("pairs", "measured", "goodput_bps", "goodput_forecast_bps", "forecast_low_bps", "forecast_high_bps",
            "goodput_per_pair_bps", "p50_s", "p99_s", "loss", "cpu", "fairness", "beyond", "cores_per_10gbit",
            "connections_per_s", "transfer_time_ratio", "tcp_efficiency", "buffer_delay", "cpu_softirq_cores",
            "cpu_vhost_cores", "cpu_system_cores", "cpu_user_cores", "cpu_guest_cores", "cpu_steal_cores",
            "dropped_packets", "goodput_least_bps", "headroom", "level_holds")  # fmt: skip
_CPU = ("softirq", "vhost", "system", "user", "guest", "steal")


def sentence(answer: Answer, symptoms: Sequence[str] = (), at: int = 0) -> str:
    """`11 VMs (95 %: 10–12), limited by goodput>=1Gbit per vm; with 12 pairs softirq-bound: …`.

    `symptoms` are of the trials `at` so many pairs: left out where the answer reaches as far.
    """
    unknown = "; ".join(
        f"nothing can be said of {each.term.text}: {each.unknown}" for each in answer.allowed if each.unknown
    )
    if answer.most is None:
        if unknown:
            return f"{unknown[0].upper()}{unknown[1:]}"
        return "No service level was asked for: --slo 'goodput>=1Gbit per vm, p99<=2ms' answers how many fit."
    return "; ".join(filter(None, (_ending(answer, answer.most, symptoms, at), unknown)))


def _ending(answer: Answer, most: Count, symptoms: Sequence[str], at: int) -> str:
    if answer.limited_by:
        bounds = " and ".join(term.text for term in answer.limited_by)
        why = f"; with {at} {'pairs' if at != 1 else 'pair'} {symptoms[0]}" if symptoms and at > most.value else ""
        return f"{count(most, answer.measured)}, limited by {bounds}{why}"
    if answer.ended_by_failing:
        each = f"{answer.failed} pair{'s' if answer.failed > 1 else ''}"
        return f"{count(most, answer.measured)}, limited by pairs that fail: no trial with {each} succeeded"
    if most.value > answer.measured:
        return f"{_vms(answer.measured)} were measured and no bound was reached; {_going_on(most)}"
    return f"{count(most, answer.measured)}, and no bound was reached: more pairs would have to be measured"


def count(most: Count, measured: int) -> str:
    """`11 VMs (95 %: 10–12)`, `6 VMs or more`, `no VM`; `measured`: the largest N, beyond which it is a forecast."""
    if most.open and most.value > measured:
        return f"{_vms(measured)} or more; {_going_on(most)}"
    if most.open:
        return f"{_vms(most.value)} or more{_at_least(most)}"
    between = f"{most.low}–{most.high}" if most.low != most.high else f"{most.low}"
    ahead = f"; {measured} were measured" if most.value > measured else ""
    return f"{_vms(most.value)} (95 %: {between}{ahead})"


def _vms(n: int) -> str:
    return f"{n} VM{'s' if n != 1 else ''}" if n else "no VM"


def _going_on(most: Count) -> str:
    return f"{most.value} or more{_at_least(most)} if the curve goes on so"


def _at_least(most: Count) -> str:
    return f" (95 %: {most.low} or more)" if most.low < most.value else ""


def bound(each: Allowed, measured: int) -> str:
    """What one bound alone allows, in a line."""
    return f"{each.term.text}: {each.unknown or count(each.most, measured)}"


def curve_lines(answer: Answer) -> tuple[str, ...]:
    """The model and what it says; or why there is none."""
    free = () if answer.headroom is None else (f"Headroom of goodput at the answer: {100 * answer.headroom:.0f} %.",)
    if answer.curve is None:
        return (f"No model: {answer.no_model}.", *free)
    curve = answer.curve
    lines = [f"Model by AICc: {model(curve.chosen)}."]
    others = [f"{each.name} {100 * each.weight:.0f} %" for each in curve.candidates if each.weight >= 0.05]
    lines.append(f"Akaike weights: {', '.join(others)}.")
    lines += [f"{_PLACES[name]} {_pairs(found)}." for name, found in _places(curve) if found is not None]
    if curve.saturation is None:
        lines.append(f"No limit was seen up to {curve.most} pairs; one that begins beyond cannot be.")
    return (*lines, *free)


def model(found: Candidate) -> str:
    """A model with its parameters."""
    told = [f"γ {quantity('goodput', 'bit/s', found.gamma)} a pair"]
    told += [f"σ {found.sigma:.3g}"] if found.name in {"amdahl", "usl", "amdahl-ceiling"} else []
    told += [f"κ {found.kappa:.2g}"] if found.name == "usl" else []
    told += [f"ceiling {quantity('goodput', 'bit/s', found.ceiling)}"] if math.isfinite(found.ceiling) else []
    return f"{_MODELS[found.name]} ({', '.join(told)})"


def noted(each: Noted) -> str:
    """`6 pairs: nothing arrived in the window (c2>s2, c5>s5), in 2 of 3 trials`."""
    of = f" ({first_of(each.ways, _NAMED)})" if each.ways else ""
    n = f"{each.n} pair{'s' if each.n != 1 else ''}"
    return f"{n}: {each.text}{of}, in {each.trials} of {each.of} trials"


def down(answer: Answer | None, outages: Sequence[float] = ()) -> str:
    """`With one leg down: 3 VMs (95 %: 3), limited by …; …`; "" where none was taken."""
    if answer is None or not answer.allowed:
        return ""
    longest = max(outages, default=0.0)  # in the tenths of a second that a receiver counts by
    pause = f"; those that move are without a byte for up to {quantity('outage', 's', longest)}" if longest else ""
    return f"With one leg down: {sentence(answer)}{pause}"


def tcp_table(found: Mapping[int, Transfer]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """RFC 6349's metrics; no rows where no trial has any."""
    rows: list[tuple[str, ...]] = [
        (
            str(n),
            DASH if each.ratio is None else f"{each.ratio:.2f}",
            DASH if each.efficiency is None else f"{100 * each.efficiency:.2f} %",
            DASH if each.buffer_delay is None else f"{digits(100 * each.buffer_delay)} %",
        )
        for n, each in found.items()
        if each != Transfer()
    ]
    return ("pairs", "transfer time ratio", "TCP efficiency", "buffer delay"), rows


def split_table(found: Mapping[int, Split]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """CPU by kind in cores, packets dropped, the least pair's goodput; no rows where no trial has any."""
    used = scale("goodput", "bit/s", [each.least or 0.0 for each in found.values()])
    rows: list[tuple[str, ...]] = [
        (
            str(n),
            *(DASH if (cores := getattr(each, kind)) is None else digits(cores) for kind in _CPU),
            DASH if each.dropped is None else digits(each.dropped),
            DASH if each.least is None else digits(each.least / used.factor),
        )
        for n, each in found.items()
        if each != Split()
    ]
    return ("pairs", *_CPU, "dropped", f"least, {used.label}"), rows


def table(answer: Answer, costs: Mapping[int, float]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and rows; goodput in one unit throughout, a number that is not measured but forecast with a ~."""
    every = [row.seen or (row.goodput.value if row.goodput else 0.0) for row in answer.rows]
    used = scale("goodput", "bit/s", every)
    opened = any("connections" in row.values for row in answer.rows)
    headings = ("pairs", used.label, "95 %", "per pair", "p50", "p99", "loss", "CPU", "fair",
                *(("conn/s",) if opened else ()), "cores/10G", "level")  # fmt: skip
    return headings, [_cells(row, costs.get(row.n), used, opened=opened) for row in answer.rows]


def _cells(row: Row, cost: float | None, used: Scale, *, opened: bool) -> tuple[str, ...]:
    value = row.seen if row.seen is not None else row.goodput.value if row.goodput else None
    mark = "" if row.seen is not None else "~"

    def rate(number: float | None) -> str:
        return DASH if number is None else f"{mark}{digits(number / used.factor)}"

    shown = [value_of(word, row.values.get(word)) for word in _SHOWN]
    fairness = f"{row.values['fairness']:.2f}" if "fairness" in row.values else DASH
    found = row.goodput
    spread = DASH if found is None else f"{digits(found.low / used.factor)}–{digits(found.high / used.factor)}"
    level = {True: "holds", False: "no", None: "?"}[row.holds]
    each = None if value is None else value / row.n
    return (
        str(row.n),
        rate(value),
        spread,
        rate(each),
        *shown,
        fairness,
        *((_rate(row.values.get("connections")),) if opened else ()),
        DASH if cost is None else digits(cost),
        level,
    )


def value_of(word: str, value: float | None) -> str:
    """p50, p99, loss or CPU as a cell; `lost` where a percentile is one of the lost probes."""
    return "lost" if value == math.inf else quantity(*_SHOWN[word], value)


def _rate(connections: float | None) -> str:
    return DASH if connections is None else digits(connections) if math.isfinite(connections) else "failed"


def spreadsheet(answer: Answer, counted: Counted) -> str:
    """CSV of the same in base units; empty where nothing is known."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in answer.rows:
        made = as_mapping(row, counted)
        writer.writerow(["" if made[name] is None else made[name] for name in _COLUMNS])
    return text.getvalue()


def as_mapping(row: Row, counted: Counted) -> dict[str, object]:
    """A row by column, for machines; `beyond` names what has no end, and is null: JSON knows no infinity."""
    tcp, split = counted.transfers.get(row.n, Transfer()), counted.splits.get(row.n, Split())
    ended = {word: value for word, value in row.values.items() if math.isfinite(value)}
    found, goodput = row.goodput, row.seen if row.seen is not None else row.goodput.value if row.goodput else None
    return {
        "pairs": row.n,
        "measured": row.seen is not None,
        "goodput_bps": row.seen,
        "goodput_forecast_bps": found.value if found else None,
        "forecast_low_bps": found.low if found else None,
        "forecast_high_bps": found.high if found else None,
        "goodput_per_pair_bps": goodput / row.n if goodput is not None else None,
        **{f"{word}_s" if word.startswith("p") else word: ended.get(word)
           for word in ("p50", "p99", "loss", "cpu", "fairness")},
        "beyond": " ".join(word for word in row.values if word not in ended),
        "cores_per_10gbit": counted.costs.get(row.n),
        "connections_per_s": ended.get("connections"),
        "transfer_time_ratio": tcp.ratio,
        "tcp_efficiency": tcp.efficiency,
        "buffer_delay": tcp.buffer_delay,
        **{f"cpu_{kind}_cores": getattr(split, kind) for kind in _CPU},
        "dropped_packets": split.dropped,
        "goodput_least_bps": split.least,
        "headroom": row.headroom,
        "level_holds": row.holds,
    }  # fmt: skip


def document(answer: Answer, counted: Counted, symptoms: Sequence[str], at: int = 0) -> dict[str, object]:
    """The answer for machines: `capacity --json`; `symptoms` as of `sentence`."""
    curve = answer.curve
    return {
        "answer": sentence(answer, symptoms, at),
        "vms": None if answer.most is None else asdict(answer.most),
        "measured": answer.measured,
        "limited_by": [term.text for term in answer.limited_by],
        "bottleneck": list(symptoms),
        "bottleneck_at": at if symptoms else None,
        "bounds": [{"bound": each.term.text, **asdict(each.most), "unknown": each.unknown} for each in answer.allowed],
        "headroom": answer.headroom,
        "model": None
        if curve is None
        else {
            "name": curve.chosen.name,
            "gamma_bps": curve.chosen.gamma,
            "sigma": curve.chosen.sigma,
            "kappa": curve.chosen.kappa,
            "ceiling_bps": curve.chosen.ceiling if math.isfinite(curve.chosen.ceiling) else None,
            "weights": {each.name: round(each.weight, 4) for each in curve.candidates},
            **{name: found and asdict(found) for name, found in _places(curve)},
        },
        "no_model": answer.no_model,
        "rows": [as_mapping(row, counted) for row in answer.rows],
    }


def _places(curve: Curve) -> tuple[tuple[str, Between | None], ...]:
    return (("saturation", curve.saturation), ("knee", curve.knee), ("peak", curve.peak))


def _pairs(found: Between) -> str:
    return f"{found.value:.0f} pairs (95 %: {found.low:.0f}–{found.high:.0f})"
