"""What a verdict needs beside it, in sentences: the load that a probe ran under, and where datagrams were lost."""

from collections.abc import Iterator, Sequence
from statistics import median

from results import series
from results.records import Run, Trial
from results.units import NBSP, percent, quantity, scale

_PLACES = {
    "lost_sender": "at the sender",
    "lost_path": "on the path",
    "lost_receiver": "at the receiver's socket",
    "lost_unaccounted": "unaccounted",
}
_VISIBLE = 5e-6  # of a share: less is a packet or two


def account(run: Run, trials: Sequence[Trial], topology: str) -> tuple[str, ...]:
    """A sentence per loaded probe, and one per probe that counts datagrams, with the medians of each arm."""
    here = [trial for trial in trials if trial.topology == topology and trial.status == "done"]
    probes = dict.fromkeys(sample.probe for trial in here for sample in trial.samples)
    return tuple(said for probe in probes for said in (*_load(run, here, probe), *_lost(run, here, probe)))


def _load(run: Run, here: Sequence[Trial], probe: str) -> Iterator[str]:
    asked, reached = (_medians(run, here, f"{probe}.{metric}") for metric in ("load_asked", "load_rate"))
    if not asked or asked.keys() != reached.keys():
        return
    unit = series.metric_of(f"{probe}.load_rate").unit
    used = scale(f"{probe}.load_rate", unit, [*asked.values(), *reached.values()])
    told = (
        f"{arm} {quantity(probe, unit, reached[arm], to=used)} of {quantity(probe, unit, asked[arm], to=used)}"
        for arm in asked
    )
    yield f"Load beside {probe}, reached of what was asked (medians): {', '.join(told)}."


def _lost(run: Run, here: Sequence[Trial], probe: str) -> Iterator[str]:
    found = {words: _medians(run, here, f"{probe}.{metric}") for metric, words in _PLACES.items()}
    arms = found["unaccounted"]
    if not arms:
        return
    told = []
    for arm in arms:
        places = [
            f"{_share(values[arm])} {words}" for words, values in found.items() if values.get(arm, 0.0) >= _VISIBLE
        ]
        told.append(f"{arm} {' and '.join(places) or 'nowhere'}")
    yield f"Datagrams of {probe} were lost, as a share of those sent (medians): {'; '.join(told)}."


def _share(value: float) -> str:
    return percent(100 * value, signed=False) if value >= 5e-4 else f"{100 * value:.2g}{NBSP}%"


def _medians(run: Run, here: Sequence[Trial], name: str) -> dict[str, float]:
    """Arm -> its median, in the plan's order."""
    values: dict[str, list[float]] = {}
    for trial in here:
        value = trial.value(name)
        if value is not None:
            values.setdefault(trial.arm, []).append(value)
    return {arm: median(values[arm]) for arm in series.arms(run) if arm in values}
