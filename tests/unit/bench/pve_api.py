"""An API that answers what a test told it, and a deployment to ask it about."""

from pathlib import Path
from typing import Any, cast

from bench.pve.client import NONE, Client
from bench.pve.deployment import Deployment
from bench.pve.wire import Parameters, Reply, Wire

OF = Deployment(Path("pve.yaml"), ("pve1",), "9000", "s", ())


class Api(Client):
    """Answers by path; an exception is raised."""

    def __init__(self, answers: dict[str, Any]) -> None:  # Any: JSON
        super().__init__(cast("Wire", None))
        self.answers = answers

    def whole(self, method: str, path: str, parameters: Parameters = NONE) -> Reply:
        """See Client.whole."""
        found = self.answers[path]
        if isinstance(found, Exception):
            raise found
        return Reply(found)
