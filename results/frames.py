"""Frames: the only door to pandas and pyarrow. Tidy rows as a DataFrame, and as a Parquet file.

Importing pandas takes about a second: import this module where a frame was asked for, not before.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import TypeAlias

import pandas as pd

from results.errors import NotAble
from results.tidy import COLUMNS, RAW_COLUMNS, RawRow, Row

Frame: TypeAlias = pd.DataFrame

_CATEGORIES = ("run_id", "plan", "topology", "arm", "status", "probe", "metric", "unit", "end", "direction")
_ABSENT = ("probe", "metric", "unit", "end", "direction")  # empty where a trial has no number


def frame(found: Iterable[Row], *, arms: Sequence[str] = ()) -> Frame:
    """The rows with types: names are categories, `started_at` is a time in UTC, a missing number is NaN.

    The categories of `arm` come in the order of `arms`, then as met; all others as met. A trial without a number
    has a missing probe, metric, unit, end and direction, so that grouping by them leaves it out by itself.
    """
    table = _table([asdict(row) for row in found], COLUMNS)
    for column in _CATEGORIES:
        values = table[column].astype(object)
        if column in _ABSENT:
            values = values.where(values != "", None)
        first = list(arms) if column == "arm" else []
        known = dict.fromkeys([*first, *values.dropna()])
        table[column] = pd.Categorical(values, categories=pd.Index(list(known), dtype="str"))
    for column in ("block", "attempt", "position", "trial"):
        table[column] = table[column].astype("int64")
    for column in ("elapsed_s", "value", "interval_s"):
        table[column] = table[column].astype("float64")
    return table.astype({"cause": "str", "flags": "str", "used": "bool"})


def raw_frame(found: Iterable[RawRow]) -> Frame:
    """What the tools printed, `started_at` as a time in UTC."""
    table = _table([asdict(row) for row in found], RAW_COLUMNS)
    for column in ("block", "attempt", "position", "trial"):
        table[column] = table[column].astype("int64")
    return table


def _table(records: list[dict[str, object]], columns: Sequence[str]) -> Frame:
    table = pd.DataFrame(records, columns=list(columns))
    table["started_at"] = pd.to_datetime(table["started_at"], utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    return table


def parquet(table: Frame) -> bytes:
    """The frame as a Parquet file. Raises NotAble where pyarrow, an optional extra, is not installed."""
    try:
        import pyarrow  # noqa: F401, PLC0415 - optional; pandas would name the package, not the extra
    except ImportError as error:
        raise NotAble(
            f"Parquet needs pyarrow, which is not installed: {error}",
            hint="install the extra: pip install 'nettune[parquet]'; or take --format csv",
        ) from error
    file = io.BytesIO()
    table.to_parquet(file, engine="pyarrow", index=False)
    return file.getvalue()
