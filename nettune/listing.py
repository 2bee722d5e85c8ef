"""The runs as `runs` lists them; apart from `outputs`, because a list need not wait half a second for scipy."""

from collections.abc import Sequence
from dataclasses import replace

from bench.labs import lease
from nettune.places import Places
from results.store import Listed


def standing(listed: Sequence[Listed], places: Places) -> list[Listed]:
    """The runs as they stand: one that reads running while no process on this machine measures it was killed.

    Only a store in a file is of one machine; what a shared database says of another's runs is left as it is.
    """
    if "://" in places.store and not places.store.startswith("sqlite"):
        return list(listed)
    alive = lease.measuring(places.state) if any(each.status == "running" for each in listed) else ""
    return [
        replace(each, status="killed") if each.status == "running" and each.run_id not in alive else each
        for each in listed
    ]
