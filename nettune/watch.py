"""Progress of a run on its way, on standard error."""

import time
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.run import Progress as Standing
from nettune.say import Screen, duration


class Watch:
    """Shows a run on its way on stderr: a bar with time left on a terminal, a plain line per block elsewhere."""

    def __init__(self, screen: Screen, block_s: float) -> None:
        self._console = screen.err
        self._started = time.monotonic()
        self._block_s = block_s
        self._first = -1
        self._last = ("", -1)
        self._bar: Progress | None = None
        if self._console.is_terminal:
            columns: tuple[Any, ...] = (  # Any: rich's columns share no public type
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
            )  # fmt: skip
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._task = self._bar.add_task("", total=None, left="")
            self._bar.start()

    def __call__(self, now: Standing) -> None:
        """A trial begins."""
        if self._first < 0:
            self._first = now.trials_done
        left = self._left(now)
        if now.note:
            self._console.print(f"  {now.note}", style="yellow", markup=False)
        if self._bar is not None:
            what = f"{now.topology}  block {now.block + 1}/{now.blocks}  {now.arm}"
            self._bar.update(
                self._task, description=what, completed=now.trials_done, total=now.trials_in_all, left=left
            )
        elif (now.topology, now.block) != self._last:
            self._last = (now.topology, now.block)
            what = f"{now.topology}: block {now.block + 1} of {now.blocks}"
            self._console.print(f"{what}, trial {now.trials_done} of {now.trials_in_all}, {left}", markup=False)

    def note(self, text: str) -> None:
        """What is done before the first trial, where that takes time."""
        self._console.print(f"  {text}", markup=False)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()

    def _left(self, now: Standing) -> str:
        done, remaining = now.trials_done - self._first, now.trials_in_all - now.trials_done
        if done < 3:
            return f"about {duration(self._block_s * (now.blocks - now.block))} left"
        return f"about {duration((time.monotonic() - self._started) / done * remaining)} left"
