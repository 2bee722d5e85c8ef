"""A node of a cluster is claimed before it is changed: one at a time, whoever asks. By real shells and directories."""

import platform
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.hosts.local import Local
from tuning.applying import clusters
from tuning.applying.clusters import ClusterNotWell

HERE = platform.node().partition(".")[0]


@pytest.fixture
def pve(tmp_path: Path) -> Path:
    """What stands for /etc/pve of a node in a cluster."""
    (tmp_path / "priv").mkdir()
    (tmp_path / "corosync.conf").touch()
    return tmp_path


def claims(pve: Path) -> list[str]:
    """Who has claimed it, without the times."""
    return [each.name.split(".")[0] for each in pve.glob("priv/nettune/*")]


def of_another(pve: Path, left_s: int, node: str = "pve2", age_s: int = 5) -> None:
    """Another node's claim, with so many seconds left."""
    now = int(time.time())
    (pve / "priv" / "nettune" / f"{node}.{now - age_s}.{now + left_s}").mkdir(parents=True)


def test_a_claim_is_there_until_it_is_released(pve: Path) -> None:
    """Longer than the guard may take by what lies between the two."""
    clusters.claim(Local(), 120.0, str(pve))
    (made,) = pve.glob("priv/nettune/*")
    _, begun, until = made.name.split(".")
    clusters.release(Local(), str(pve))

    assert made.name.startswith(f"{HERE}.")
    assert int(until) - int(begun) == 240
    assert claims(pve) == []
    assert not (pve / "priv" / "nettune").exists()


def test_while_another_node_is_changed_none_is(pve: Path) -> None:
    """Who and for how long is said; its claim stays, whatever we release."""
    of_another(pve, 100)

    with pytest.raises(ClusterNotWell, match=r"pve2 is being changed, for at most (99|100) s more"):
        clusters.claim(Local(), 120.0, str(pve))
    clusters.release(Local(), str(pve))
    assert claims(pve) == ["pve2"]


def test_what_nobody_released_ends_by_itself(pve: Path) -> None:
    """A desk that died, a node that was cut off and put itself back; a lock without a claim too."""
    of_another(pve, -1)
    clusters.claim(Local(), 120.0, str(pve))
    after_a_dead_desk = claims(pve)
    clusters.release(Local(), str(pve))
    (pve / "priv" / "nettune").mkdir()
    clusters.claim(Local(), 120.0, str(pve))

    assert after_a_dead_desk == claims(pve) == [HERE]


def test_its_own_claim_hinders_a_node_no_longer_than_a_guard_could_come_late(pve: Path) -> None:
    """It had put itself back alone; a claim that was made just now is another desk's."""
    of_another(pve, 3000, HERE, age_s=121)
    clusters.claim(Local(), 120.0, str(pve))

    with pytest.raises(ClusterNotWell, match=f"{HERE} is being changed"):
        clusters.claim(Local(), 120.0, str(pve))


def test_of_many_who_claim_at_once_one_has_it(pve: Path) -> None:
    """Also where a stale claim lies there, which each of them may take away."""
    for left_s in (None, -1):
        if left_s is not None:
            of_another(pve, left_s)

        def claimed(_: int) -> bool:
            try:
                clusters.claim(Local(), 120.0, str(pve))
            except ClusterNotWell:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            got = list(pool.map(claimed, range(16)))

        assert sum(got) <= 1
        assert len(claims(pve)) == sum(got)
        clusters.release(Local(), str(pve))


def test_without_quorum_nothing_is_changed_and_without_a_cluster_nothing_is_claimed(tmp_path: Path) -> None:
    """A file system that takes no writes: there nobody can tell whether another node is being changed."""
    clusters.claim(Local(), 120.0, str(tmp_path))
    untouched = list(tmp_path.iterdir())
    (tmp_path / "corosync.conf").touch()  # and no folder `priv`, in which a lock could be made

    assert untouched == []
    with pytest.raises(ClusterNotWell, match="has the cluster quorum"):
        clusters.claim(Local(), 120.0, str(tmp_path))
