"""NICs, exchanges and arms as the tests of offload validation need them."""

from collections.abc import Mapping
from typing import Any

from bench.facts.sheet import Difference
from tuning.offload.arms import Arm
from tuning.offload.cases import Case, Result
from tuning.offload.cases import of as cases_of
from tuning.offload.evidence import Observed
from tuning.offload.inventory import Nic

TSO = "tx-tcp-segmentation"
FEATURES = {
    TSO: "on", "tx-tcp6-segmentation": "on", "tx-udp-segmentation": "on", "tx-checksum-ip-generic": "on",
    "tx-scatter-gather": "on", "rx-checksum": "on", "rx-gro": "off", "rx-lro": "off [fixed]", "highdma": "on [fixed]",
}  # fmt: skip
CASES = cases_of(1_000_000, families=(4, 6), raw=True)
SUPER = {"packets": 100, "bytes": 1000, "super_bytes": 995, "partial": 100, "valid": 0, "beside": 0, "hashed": 0}
PLAIN = {**SUPER, "super_bytes": 0}


def nic(host: str = "a", **changed: str) -> Nic:
    """A NIC with these features; `changed` in the kernel's strings with _ for -."""
    features = FEATURES | {name.replace("_", "-"): value for name, value in changed.items()}
    return Nic(host, "eth0", {"driver": "made", "kernel": "6.8.12-4-pve"}, features)


def result(case: Case, sender: Mapping[str, Any] | None = None, taker: Mapping[str, Any] | None = None) -> Result:
    """What both ends say of a case that went well, but for what is given."""
    sent: dict[str, Any] = {"sent": 60, "refused": "", "retransmits": 0, "queues": [], "watched": SUPER}
    got: dict[str, Any] = {"got": 60, "lost": 0, "wrong": 0, "bad_checksums": 0, "passed": 0, "watched": SUPER,
                           "whole": True, "first_wrong": -1, "took_s": 0.1, "gap_s": 0.0, "idle_s": 0.0,
                           "numbers": range(60), "queues": []}  # fmt: skip
    return Result(case, sent | dict(sender or {}), got | dict(taker or {}))


def observed(arm: Arm, wrong: Mapping[tuple[str, str], Mapping[str, Any]] | None = None, *, moves: tuple[str, ...] = (),
             watched: Mapping[str, int] = SUPER) -> Observed:  # fmt: skip
    """An arm in which the cases of `wrong` (flow, name) end as given; `moves` are a's features that it moved."""
    results = tuple(
        result(case, {"watched": watched}, {"watched": watched, **(wrong or {}).get((case.flow, case.name), {})})
        for case in CASES
    )
    own = (arm.feature,) if arm.feature else ()
    moved = tuple(Difference("a", f"feature/eth0/{name}", "on", "off") for name in (*own, *moves))
    return Observed(arm, moved=moved, results=results, took_s=0.1)
