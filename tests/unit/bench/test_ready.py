"""Before the first trial: a resumed run goes on with the tools that it began with."""

from dataclasses import replace

import pytest

from bench.probes.engine import ENGINES
from bench.ready import same_engines
from bench.run import FactsMoved
from tests.unit.results.example import example_run

TOLD = {ENGINES["iperf3"].version: "iperf 3.12 (cJSON 1.7.15)"}


def test_a_resumed_run_refuses_another_iperf3_by_name() -> None:
    """From 3.16 on its streams would be threads of one process; before, they were processes."""
    run = replace(example_run(), machine={"iperf3": "iperf 3.16 (cJSON 1.7.15)"})
    with pytest.raises(FactsMoved, match=r"iperf3 was 'iperf 3\.16 .*' and is 'iperf 3\.12 ") as raised:
        same_engines(run, TOLD)

    assert "start a new run" in raised.value.hint


@pytest.mark.parametrize("machine", [{"iperf3": "iperf 3.12 (cJSON 1.7.15)"}, {}, {"libiperf": "iperf 3.9"}])
def test_a_resumed_run_goes_on_with_the_same(machine: dict[str, str]) -> None:
    """What was not kept, or is not used, is not compared."""
    same_engines(replace(example_run(), machine=machine), TOLD)
