"""The API by `pvesh` on a node: for whoever has root's SSH and no token. What stands beside an answer is not told."""

import json
import re
from collections.abc import Mapping

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.pve import errors
from bench.pve.errors import PveFault
from bench.pve.wire import ANSWER_S, Parameters, Reply

_VERBS: Mapping[str, str] = {"GET": "get", "POST": "create", "PUT": "set", "DELETE": "delete"}
_FIELD = re.compile(r"^([\w\[\]-]+): (.+)$", re.MULTILINE)
# What pvesh prints has no number of a status: it is told from PVE's own words (PVE/CLI/pvesh.pm, PVE::Exception).
_STATUS = ((403, "Permission check failed"), (400, "Parameter verification failed"), (400, "400 "), (501, "No '"),
           (595, "No route to host"), (596, "got timeout"))  # fmt: skip


class Pvesh:
    """See bench.pve.wire.Wire."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def call(self, method: str, path: str, parameters: Parameters) -> Reply:
        """See Wire.call. Secrets among parameters stand in the node's process list, as pvesh takes them: give none."""
        words = ["pvesh", _VERBS[method], path, "--output-format", "json"]
        for name, value in parameters.items():
            values = [value] if isinstance(value, str | int) else list(value)
            for each in values:
                words += [f"--{name}", str(int(each)) if isinstance(each, bool) else str(each)]
        outcome = self._host.run(Command(tuple(words), deadline_s=2 * ANSWER_S))
        call = f"{method} {path}"
        if not outcome.ok:
            raise _error(call, outcome.stderr or outcome.stdout)
        text = outcome.stdout.strip()
        try:
            return Reply(json.loads(text) if text else None)
        except json.JSONDecodeError:
            upid = next((line for line in text.splitlines() if line.startswith("UPID:")), None)
            if upid is None:
                raise PveFault(call, 0, f"pvesh printed no JSON: {text[:200]}") from None
            return Reply(upid)


def _error(call: str, text: str) -> PveFault:
    status = next((code for code, words in _STATUS if words in text), 500)
    fields = dict(_FIELD.findall(text)) if status == 400 else {}
    return errors.of(call, status, text, fields)
