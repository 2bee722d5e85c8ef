"""How many pairs of guests a cluster has room for, by what its API tells."""

from typing import Any

import pytest

from bench.pve import room
from bench.pve.errors import Forbidden
from bench.pve.room import check, fitting, nodes, span
from results.errors import NotAble
from tests.unit.bench.pve_api import OF, Api

FREE = [{"node": "pve1", "maxmem": 16 << 30, "mem": 8 << 30, "maxcpu": 4},
        {"node": "pve2", "maxmem": 64 << 30, "mem": 8 << 30, "maxcpu": 32}]  # fmt: skip
SAME, ACROSS = ("pve1", "pve1"), ("pve1", "pve2")


def cluster(**changed: Any) -> Api:  # Any: JSON
    """Two nodes, the first with 8 GiB free."""
    return Api({"/nodes": FREE, "/cluster/resources": [], "/cluster/options": {}, **changed})


@pytest.mark.parametrize(
    ("places", "fit", "full"), [([SAME] * 4, 3, "pve1"), ([ACROSS] * 6, 6, ""), ([ACROSS] * 7, 6, "pve1")]
)
def test_pairs_fit_the_memory_of_their_nodes(places: list[tuple[str, str]], fit: int, full: str) -> None:
    """7 GiB for guests of 1 GiB and what QEMU takes beside."""
    assert fitting(places, OF, nodes(cluster())) == (fit, full)


def test_what_does_not_fit_is_refused_with_how_many_do() -> None:
    """And with node, guests and memory."""
    with pytest.raises(
        NotAble, match=r"4 pairs put 8 guests of 1024 MB on pve1, .* 8192 MB free.*: 3 pairs fit"
    ) as told:
        check(cluster(), OF, [SAME] * 4)

    assert told.value.hint.startswith("pairs up to 3")


def test_more_vcpus_than_cpus_are_told_and_not_refused() -> None:
    """That is what a node is asked about."""
    assert check(cluster(), OF, [SAME, ACROSS]) == (
        "pve1: 3 guests, 3072 MB of memory (8192 MB free), 6 vCPUs on 4 CPUs, which they share",
        "pve2: 1 guests, 1024 MB of memory (57344 MB free), 2 vCPUs on 32 CPUs",
    )


def test_what_may_not_be_seen_is_told_as_that() -> None:
    """Without Sys.Audit a node has a name and a state."""
    told = check(cluster(**{"/nodes": [{"node": "pve1", "status": "online"}]}), OF, [SAME] * 40)

    assert told == ("pve1: 80 guests, 81920 MB of memory (memory not seen), CPUs not seen",)


@pytest.mark.parametrize("given", ["lower=200,upper=210", {"lower": 200, "upper": 210}])
def test_ids_are_counted_in_the_range_that_is_given_out(given: Any) -> None:  # Any: JSON
    """Those of others taken off."""
    taken = [{"vmid": each} for each in (200, 201, 205, 999)]
    there = cluster(**{"/cluster/options": {"next-id": given}, "/cluster/resources": taken})

    assert check(there, OF, [SAME] * 3)
    with pytest.raises(NotAble, match=r"8 guests take 8 ids, and of 200 to 209 7 are free: 3 pairs fit"):
        room._ids(there, 8)


def test_a_range_that_may_not_be_seen_is_the_usual_one() -> None:
    """As Proxmox VE has it."""
    there = cluster(**{"/cluster/options": Forbidden("GET /cluster/options", "no")})

    assert span(there) == (100, 1_000_000)
