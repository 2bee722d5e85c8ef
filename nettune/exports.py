"""A run in the form that was asked for: text, or the bytes of a Parquet file."""

from typing import Literal

from nettune.outputs import advice_for, document, judged
from results import series, ticket, tidy
from results.store import Store

Form = Literal["csv", "json", "parquet", "markdown"]


def exported(store: Store, name: str, form: Form, *, raw: bool) -> str | bytes:
    """The run's rows, or with `raw` what its tools printed. Raises NotAble where Parquet's extra is not installed."""
    if form == "markdown":
        run, trials, judgement = judged(store, name, whole=True)
        _, advice = advice_for(store, run, judgement)
        return ticket.ticket(run, trials, judgement, advice=advice.as_mapping())
    if raw:
        return _raw(store, name, form)
    run = store.run(name)
    rows = tidy.rows(run, store.trials(run.run_id))
    if form == "csv":
        return tidy.as_csv(rows, tidy.COLUMNS)
    if form == "json":
        return tidy.as_json(rows, document(store, run.run_id))
    from results import frames  # noqa: PLC0415 - pandas takes a second to import

    return frames.parquet(frames.frame(rows, arms=series.arms(run)))


def _raw(store: Store, name: str, form: Form) -> str | bytes:
    run = store.run(name)
    rows = tidy.raw_rows(run, ((trial, store.raw(trial.trial_id)) for trial in store.trials(run.run_id)))
    if form == "csv":
        return tidy.as_csv(rows, tidy.RAW_COLUMNS)
    if form == "json":
        return tidy.raw_as_json(rows, document(store, run.run_id))
    from results import frames  # noqa: PLC0415 - as above

    return frames.parquet(frames.raw_frame(rows))
