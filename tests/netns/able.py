"""Whether this kernel can stand a topology; what it cannot is skipped in its own words."""

from pathlib import Path

import pytest

from bench.hosts.local import Local
from bench.labs import capability
from bench.labs.topology import Topology


def able(topology: Topology, state: Path) -> None:
    """Skip, naming what is lacking, where a topology cannot stand."""
    answers = capability.answers(Local(), state / "leases", topology.needs)
    lacking = next((each for each in answers if each.word != "yes"), None)
    if lacking is not None:
        pytest.skip(f"{topology.name}: {lacking.name}: {lacking.reason}")
