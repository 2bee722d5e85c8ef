"""FRONT DOOR: the command line. Joins the rooms, prints, and is the only place that exits.

For notebooks: `nettune.frame("last")` is a run as a tidy pandas DataFrame.
"""

from __future__ import annotations  # a frame's type is pandas', which only a caller of `frame` waits for

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from results.frames import Frame

__version__ = "0.1.0"


def frame(runs: str | Sequence[str] = "last", *, store: str = "") -> Frame:
    """One row per trial × metric × end × direction of one run or several, as a pandas DataFrame.

    A run is its id, the beginning of it, or "last"; `store` is a file or URL as with `--store`. The columns are those
    of results.tidy.Row: names are categories, `started_at` is a time in UTC, `value` is a float in `unit`, NaN for a
    trial without a number, whose `status` and `cause` say why. Raises results.errors.WrongInput for a run that the
    store does not hold.
    """
    from nettune.rooms import claim  # noqa: PLC0415 - as below

    claim()
    from nettune.places import places  # noqa: PLC0415 - `import nettune` must stay instant
    from results import frames, series, tidy  # noqa: PLC0415
    from results.store import opened  # noqa: PLC0415

    with opened(places(store).store) as kept:
        names = [runs] if isinstance(runs, str) else list(runs)
        found = {run.run_id: run for run in (kept.run(name) for name in names)}
        rows = [row for run in found.values() for row in tidy.rows(run, kept.trials(run.run_id))]
    arms = dict.fromkeys(arm for run in found.values() for arm in series.arms(run))
    return frames.frame(rows, arms=tuple(arms))
