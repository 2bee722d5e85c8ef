"""What the benchmark of a whole search takes for an answer as it should be."""

from typing import Any

import pytest

from benchmarks.wan_lossy import CONTROL, missing

GOOD: dict[str, Any] = {  # Any: JSON
    "status": "confirmed",
    "picks": [{"names": ["throughput"], "settings": [{"setting": CONTROL[0], "value": CONTROL[1]}]}],
    "stages": [{"purpose": "noise", "arms": []}, {"purpose": "race", "arms": ["all", "esnet-10g"]}],
    "explored": {"anchors": {"esnet-10g": [], "left-out": []}},
    "said": ["Race: all beats esnet-10g: tcp.goodput +1729.3 % [+1036.2, +2845.1] in the same 6 blocks."],
}


@pytest.mark.parametrize(
    ("changed", "lacks"),
    [
        ({}, []),
        ({"status": "nothing", "picks": []}, ["status nothing, not confirmed", "no bbr in the first pick"]),
        ({"picks": [{"names": ["throughput"], "settings": []}]}, ["no bbr in the first pick"]),
        ({"said": []}, ["nothing is said of esnet-10g"]),
    ],
)
def test_what_an_answer_lacks_is_named(changed: dict[str, Any], lacks: list[str]) -> None:
    """A profile that did not race need not be told."""
    assert missing({**GOOD, **changed}) == lacks
