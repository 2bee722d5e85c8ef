"""A realistic run made from a seed: 8 blocks of 6 arms on two paths, with a failed and a missing trial."""

import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev
from typing import Final

from results.records import (
    CURRENT_ARMS,
    Comparison,
    Design,
    Guard,
    GuardResult,
    Histogram,
    Judgement,
    Run,
    SameArms,
    Sample,
    Trial,
    VerdictWord,
)

TREATMENTS: Final = ("jumbo", "guest-only", "no-tso", "small-buffers")
METRICS_OF_PLAN: Final = ("tcp.goodput", "tcp.cpu_per_10gbit", "tcp.drops", "latency.rtt_p50", "latency.rtt_p99")
GUARDS: Final = (
    Guard("latency.rtt_p99", 0.10),
    Guard("tcp.cpu_per_10gbit", 0.10),
    Guard("tcp.drops", 0.0001, absolute=True),
)
STARTED: Final = 1_769_860_800.0  # 2026-01-31T12:00:00Z
T_95: Final = 2.365  # 0.975 quantile of Student's t, 7 degrees of freedom
T_90: Final = 1.895

_GOODPUT = {"jumbo": 1.14, "guest-only": 1.004, "no-tso": 0.97, "small-buffers": 0.31}
_SPREAD = {"jumbo": 0.02, "guest-only": 0.015, "no-tso": 0.07, "small-buffers": 0.04}
_RTT = {"jumbo": 1.03, "guest-only": 1.0, "no-tso": 0.98, "small-buffers": 1.0}
_CPU = {"jumbo": 0.78, "guest-only": 1.0, "no-tso": 1.32, "small-buffers": 1.8}


def example_run(**changes: object) -> Run:
    """A complete run of two topologies; `changes` replace fields."""
    run = Run(
        run_id="20260131-120000-k7qd",
        plan_name="my-path",
        plan={"name": "my-path", "lab": {"provider": "netns"}, "blocks": 8},
        design=Design(
            topologies=("bridge", "vlan-10"),
            treatments=TREATMENTS,
            primary="tcp.goodput",
            metrics=METRICS_OF_PLAN,
            guards=GUARDS,
            margin_pct=5.0,
            goal="throughput",
            blocks=8,
            sequential=False,
            block_s=14.5,
        ),
        seed=20260131,
        status="complete",
        started_at=STARTED,
        ended_at=STARTED + 2 * 8 * 14.5,
        revision="0.1.0+d75df87",
        skipped=(("bond × jumbo", "the kernel module bonding is not loaded; `modprobe bonding` would add bond0"),),
        machine={
            "kernel": "Linux 6.8.12-4-pve x86_64",
            "cpu": "AMD EPYC 7313P, 16 cores, governor performance",
            "iperf3": "3.18",
            "irtt": "0.9.1",
        },
        drawings={"bridge": DRAWING, "vlan-10": DRAWING},
        settings={
            "jumbo": ({"target": "path", "setting": "mtu", "value": "9000"},),
            "guest-only": ({"target": "guest", "setting": "tx-tcp-segmentation", "value": "off"},),
            "no-tso": (
                {"target": "node", "setting": "tx-tcp-segmentation", "value": "off"},
                {"target": "node", "setting": "tx-generic-segmentation", "value": "off"},
            ),
            "small-buffers": (
                {"target": "node", "setting": "net.ipv4.tcp_rmem", "value": "4096 16384 16384"},
                {"target": "node", "setting": "net.ipv4.tcp_wmem", "value": "4096 16384 16384"},
            ),
        },
        notes=(
            "Congestion control in use: cubic.",
            "Namespaces have no NIC: what was found on offloads does not transfer to hardware.",
        ),
    )
    return replace(run, **changes)  # type: ignore[arg-type]  # fields are named by the test that changes them


DRAWING: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 60" width="320" height="60">'
    '<defs><marker id="tip" markerWidth="6" markerHeight="6" refX="5" refY="3" orient="auto">'
    '<path d="M0 0 L6 3 L0 6 z" fill="currentColor"/></marker></defs>'
    '<g fill="none" stroke="currentColor"><rect x="1" y="15" width="70" height="30" rx="4"/>'
    '<rect x="125" y="15" width="70" height="30" rx="4"/><rect x="249" y="15" width="70" height="30" rx="4"/>'
    '<path d="M71 30 H125 M195 30 H247" marker-end="url(#tip)"/></g>'
    '<g fill="currentColor" font-family="sans-serif" font-size="12" text-anchor="middle">'
    '<text x="36" y="34">client</text><text x="160" y="34">bridge</text><text x="284" y="34">server</text>'
    "</g></svg>"
)


def example_trials(run: Run, *, seed: int = 7) -> tuple[Trial, ...]:
    """Every trial of `run` in time order; on its last topology one trial failed and one is missing."""
    dice = random.Random(seed)
    arms = [*CURRENT_ARMS, *run.design.treatments]
    trials: list[Trial] = []
    for number, topology in enumerate(run.design.topologies):
        for block in range(run.design.blocks):
            drift = 1 + 0.02 * math.sin(block)
            for position, arm in enumerate(dice.sample(arms, len(arms))):
                samples, histograms = _numbers(arm, drift, dice)
                trials.append(
                    Trial(
                        trial_id=len(trials) + 1,
                        topology=topology,
                        block=block,
                        attempt=0,
                        position=position,
                        arm=arm,
                        status="done",
                        cause="",
                        started_at=STARTED + len(trials) * 2.4,
                        elapsed_s=2.2,
                        samples=samples,
                        histograms=histograms,
                        flags=("generator-bound",) if number == 0 and block == 3 and position == 0 else (),
                    )
                )
    return _with_losses(tuple(trials), run)


def _with_losses(trials: tuple[Trial, ...], run: Run) -> tuple[Trial, ...]:
    last = [t for t in trials if t.topology == run.design.topologies[-1]]
    failed = next((t for t in last if t.block == 2 and t.arm == "jumbo"), None)
    missing = next((t for t in last if t.block == 5 and t.arm == "no-tso"), None)
    return tuple(
        replace(t, status="failed", cause="iperf3: connection refused by 10.77.0.2", samples=(), histograms=())
        if t is failed
        else replace(t, status="missing", cause="wrong path: br0 counted no packets", samples=(), histograms=())
        if t is missing
        else t
        for t in trials
    )


def _numbers(arm: str, drift: float, dice: random.Random) -> tuple[tuple[Sample, ...], tuple[Histogram, ...]]:
    def around(value: float, spread: float) -> float:
        return value * drift * math.exp(dice.gauss(0, spread))

    goodput = around(23.4e9 * _GOODPUT.get(arm, 1.0), _SPREAD.get(arm, 0.02))
    rtts = sorted(around(58e-6 * _RTT.get(arm, 1.0), 0.18) for _ in range(400))
    rtts = [*rtts[:-6], *(r * dice.uniform(1.5, 6) for r in rtts[-6:])]
    values = (
        ("tcp", "goodput", goodput, "bit/s", "receiver"),
        ("tcp", "retransmits", float(dice.randrange(40)), "1", "sender"),
        ("tcp", "cpu_per_10gbit", around(1.84 * _CPU.get(arm, 1.0), 0.04), "cores", "machine"),
        ("tcp", "drops", 0.0, "1", "path"),
        ("latency", "rtt_p50", rtts[200], "s", "client"),
        ("latency", "rtt_p99", rtts[395], "s", "client"),
    )
    samples = tuple(Sample(probe, metric, value, unit, end, "a>b", 0.8) for probe, metric, value, unit, end in values)
    counts = Counter(math.floor(math.log(rtt / 1e-9) / math.log(1.01)) for rtt in rtts)
    return samples, (Histogram("latency", "rtt", "s", dict(counts)),)


def example_judgement(run: Run, trials: Sequence[Trial]) -> Judgement:
    """Verdicts by hand, from the plain t interval: enough to be drawn, not to be believed."""
    cells = [(t, m) for t in run.design.topologies for m in run.design.metrics]
    comparisons = [_compared(run, trials, t, m, arm) for t, m in cells for arm in run.design.treatments]
    return Judgement(
        comparisons=tuple(comparisons),
        same_arms=tuple(_same(trials, t, m) for t, m in cells),
        warnings=("vlan-10: block 5 has no no-tso trial; it counts for the other arms.",),
    )


def _by_block(trials: Iterable[Trial], topology: str, arm: str, metric: str) -> Mapping[int, float]:
    found = {t.block: t.value(metric) for t in trials if t.topology == topology and t.arm == arm}
    return {block: math.log(value) for block, value in found.items() if value}


def _interval(effects: Sequence[float], t: float) -> tuple[float, float, float]:
    half = t * stdev(effects) / math.sqrt(len(effects))
    middle = fmean(effects)
    low, mean, high = (100 * math.expm1(x) for x in (middle - half, middle, middle + half))
    return low, mean, high


def _same(trials: Sequence[Trial], topology: str, metric: str) -> SameArms:
    first, second = (_by_block(trials, topology, arm, metric) for arm in CURRENT_ARMS)
    effects = tuple((block, second[block] - first[block]) for block in sorted(first.keys() & second.keys()))
    if len(effects) < 2:
        return SameArms(topology, metric, None, None, None, None, None, False, len(effects), effects)
    low, mean, high = _interval([e for _, e in effects], T_95)
    return SameArms(topology, metric, mean, low, high, 0.4, 1.0, low > 0 or high < 0, len(effects), effects)


def _compared(run: Run, trials: Sequence[Trial], topology: str, metric: str, arm: str) -> Comparison:
    first, second = (_by_block(trials, topology, current, metric) for current in CURRENT_ARMS)
    treated = _by_block(trials, topology, arm, metric)
    blocks = sorted(first.keys() & second.keys() & treated.keys())
    effects = tuple((b, treated[b] - (first[b] + second[b]) / 2) for b in blocks)
    primary = metric == run.design.primary
    if len(effects) < 2:
        return comparison(topology, metric, arm, primary=primary)
    low, mean, high = _interval([e for _, e in effects], T_95)
    low90, _, high90 = _interval([e for _, e in effects], T_90)
    margin = run.design.margin_pct
    sign = 1 if metric.endswith("goodput") else -1
    word: VerdictWord = "inconclusive"
    if (low > 0 or high < 0) and abs(mean) >= margin:
        word = "better" if sign * mean > 0 else "worse"
    elif -margin < low90 and high90 < margin:
        word = "equivalent"
    return replace(
        comparison(topology, metric, arm, primary=primary, verdict=word),
        reason=f"Mean of {len(blocks)} blocks {mean:+.1f} %, between {low:+.1f} % and {high:+.1f} %.",
        effect_pct=mean,
        ci_low_pct=low,
        ci_high_pct=high,
        ci90_low_pct=low90,
        ci90_high_pct=high90,
        p=0.001 if word in {"better", "worse"} else 0.3,
        p_holm=(0.008 if word in {"better", "worse"} else 1.0) if primary else None,
        blocks=len(blocks),
        failed=int(primary and arm == "jumbo" and topology == run.design.topologies[-1]),
        visible_effect_pct=(high - low) * 0.7,
        blocks_to_decide=31 if word == "inconclusive" else None,
        effects=effects,
        guards=_guards() if primary else (),
        candidate=primary and word == "better",
    )


def comparison(
    topology: str, metric: str, arm: str, *, primary: bool = True, verdict: VerdictWord = "inconclusive"
) -> Comparison:
    """A comparison without numbers, to be filled by `dataclasses.replace`."""
    return Comparison(
        topology=topology,
        metric=metric,
        primary=primary,
        treatment=arm,
        verdict=verdict,
        reason="Fewer than two complete pairs.",
        effect_pct=None,
        ci_low_pct=None,
        ci_high_pct=None,
        ci90_low_pct=None,
        ci90_high_pct=None,
        boot_low_pct=None,
        boot_high_pct=None,
        p=None,
        p_holm=None,
        blocks=0,
        failed=0,
        visible_effect_pct=None,
        blocks_to_decide=None,
        screening=False,
        effects=(),
    )


def _guards() -> tuple[GuardResult, ...]:
    return (
        GuardResult("latency.rtt_p99", "not resolved", 0.03, -0.05, 0.12, 0.10, False, 0.13),
        GuardResult("tcp.cpu_per_10gbit", "ok", -0.2, -0.23, -0.17, 0.10, False, 0.05),
        GuardResult("tcp.drops", "ok", 0.0, 0.0, 0.0, 0.0001, True, 0.00002),
    )


RECOMMENDATION: Final[Mapping[str, object]] = {
    "status": "candidate",
    "sentence": "Candidate, not yet confirmed: jumbo +13.6 % [+11.9, +15.4]. Measure it again before you keep it.",
    "settings": [
        {
            "setting": "mtu",
            "value": "9000",
            "target": "path: every port of vmbr0",
            "reason": "fewer, larger packets: less work per byte",
            "effect": "+13.6 %",
            "interval": "[+11.9, +15.4] %",
            "n": 8,
            "risk": "a device on the path without jumbo frames drops large packets",
            "undo": "nettune undo",
        }
    ],
    "next_command": "nettune run --confirm 20260131-120000-k7qd",
}
