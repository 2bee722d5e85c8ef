"""Client: calls that are tried again where that may help, and tasks that are waited for to their end."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bench.pve import errors
from bench.pve.errors import PveFault, TaskFailed
from bench.pve.wire import Parameters, Reply, Wire

_TRIES = 6
_FIRST_S, _MOST_S = 0.5, 8.0  # between tries; between looks at a task a tenth of the first, growing
_STOPPED_S = 10.0
_LOG_LINES = 500
_TAIL_LINES = 4
NONE: Parameters = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Ended:
    """A task that ended well; `notes` are the lines of its warnings."""

    upid: str
    notes: tuple[str, ...] = ()


class Client:
    """The API as the rest of nettune sees it. Safe to use from several threads."""

    def __init__(self, wire: Wire, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._wire = wire
        self._sleep = sleep

    def get(self, path: str, parameters: Parameters = NONE) -> Any:  # Any: JSON
        """What stands there. Raises PveFault."""
        return self.whole("GET", path, parameters).data

    def post(self, path: str, parameters: Parameters = NONE) -> Any:  # Any: JSON
        """The answer of a write; a UPID where it begins a task."""
        return self.whole("POST", path, parameters).data

    def put(self, path: str, parameters: Parameters = NONE) -> Any:  # Any: JSON
        """As `post`."""
        return self.whole("PUT", path, parameters).data

    def delete(self, path: str, parameters: Parameters = NONE) -> Any:  # Any: JSON
        """As `post`."""
        return self.whole("DELETE", path, parameters).data

    def upload(self, path: str, fields: Parameters, file: Path, name: str) -> Any:  # Any: JSON
        """The answer of a form with a file, which is there under `name`. Raises PveFault; it is not tried again."""
        return self._wire.upload(path, fields, file, name).data

    def whole(self, method: str, path: str, parameters: Parameters = NONE) -> Reply:
        """The answer with what stands beside its data.

        What was surely not done is tried again: reads, a node out of reach (595), a lock that was not to be had. A
        write without an answer (596, 599, a lost connection) may have been done: it is raised.
        """
        wait_s = _FIRST_S
        for number in range(1, _TRIES + 1):
            try:
                return self._wire.call(method, path, parameters)
            except PveFault as error:
                surely_not = method == "GET" or error.status in {500, 595}
                if not error.passes or not surely_not or number == _TRIES:
                    raise
            self._sleep(wait_s)
            wait_s = min(2 * wait_s, _MOST_S)
        raise AssertionError("the last try returns or raises")

    def done(self, call: str, upid: Any, within_s: float) -> Ended:  # Any: JSON
        """Wait for a task. Raises TaskFailed with the end of its log; for one that takes longer it is stopped first.

        `call` says in an error what began it.
        """
        if not isinstance(upid, str) or not upid.startswith("UPID:"):
            return Ended("")  # this version does it at once
        node = upid.split(":")[1]
        until, wait_s = time.monotonic() + within_s, _FIRST_S / 10
        while True:
            state = self._state(node, upid)
            if state.get("status") == "stopped":
                break
            if time.monotonic() > until:
                self.stop(node, upid)
                self._over(node, upid)
                raise TaskFailed(
                    call, upid, f"it did not end within {within_s:g} s and was stopped", self._tail(node, upid)
                )
            self._sleep(wait_s)
            wait_s = min(1.3 * wait_s, 2.0)
        exit_status = str(state.get("exitstatus", "OK"))
        if exit_status == "OK":
            return Ended(upid)
        if exit_status.startswith("WARNINGS"):
            return Ended(upid, tuple(line for line in self.log(node, upid) if "WARN" in line))
        raise TaskFailed(call, upid, exit_status, self._tail(node, upid))

    def stop(self, node: str, upid: str) -> None:
        """End a task; one that has ended, or that is another's, stays as it is."""
        try:
            self.delete(f"/nodes/{node}/tasks/{upid}")
        except PveFault:
            return

    def log(self, node: str, upid: str) -> list[str]:
        """The lines of a task's log."""
        rows = self.get(f"/nodes/{node}/tasks/{upid}/log", {"limit": _LOG_LINES})
        return [str(row.get("t", "")) for row in rows] if isinstance(rows, list) else []

    def _state(self, node: str, upid: str) -> dict[str, Any]:  # Any: JSON
        """Of a task that may not be seen yet by the node that answers."""
        for number in range(_TRIES):
            try:
                found = self.get(f"/nodes/{node}/tasks/{upid}/status")
                return found if isinstance(found, dict) else {}
            except PveFault as error:
                if number == _TRIES - 1 or "no such task" not in error.said or isinstance(error, errors.Forbidden):
                    raise
            self._sleep(_FIRST_S)
        raise AssertionError("the last try returns or raises")

    def _over(self, node: str, upid: str) -> None:
        """A task that was stopped takes back what it began, and says so: a while is waited for that."""
        until = time.monotonic() + _STOPPED_S
        with contextlib.suppress(PveFault):
            while time.monotonic() < until and self._state(node, upid).get("status") != "stopped":
                self._sleep(_FIRST_S)

    def _tail(self, node: str, upid: str) -> str:
        try:
            lines = [line for line in self.log(node, upid) if line.strip() and line != "TASK OK"]
        except PveFault as error:
            return f"(cannot be read: {error.said})"
        return " | ".join(lines[-_TAIL_LINES:])
