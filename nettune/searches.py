"""Searches on disk: each as it was ordered, with what was found on its path, and its clock beside it."""

import json
from pathlib import Path

from nettune import files
from nettune.places import Places
from results.errors import WrongInput
from tuning.search import ordered
from tuning.search.clock import Clock
from tuning.search.ordered import Search
from tuning.search.planned import Explored


def keep(search: Search, places: Places, explored: Explored | None = None) -> None:
    """Write it down, so that it can be gone on with."""
    files.write(beside(search, places, ".json"), json.dumps(ordered.as_document(search, explored), indent=1) + "\n")


def found(name: str, places: Places) -> tuple[Search, Explored | None]:
    """A search that was begun, by its name or "last". Raises WrongInput."""
    folder = places.state / "searches"
    there = sorted(folder.glob("tune-*.json"))
    chosen = [each for each in there if each.stem == name] or (there[-1:] if name == "last" else [])
    if not chosen:
        names = ", ".join(each.stem for each in there[-3:]) or "none was begun"
        raise WrongInput(f"no search {name!r}", hint=f"the newest: {names}")
    return ordered.from_document(chosen[0].stem, json.loads(chosen[0].read_text(encoding="utf-8")))


def clock(search: Search, places: Places) -> Clock | None:
    """That of a search whose budget is in time, with what it kept."""
    if search.budget_s is None:
        return None
    path = beside(search, places, ".clock")
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    priced = ordered.prices(search.plan)
    return Clock(search.budget_s, priced, kept, lambda document: files.write(path, json.dumps(document)))


def beside(search: Search, places: Places, suffix: str) -> Path:
    """A file of the search in its folder."""
    return places.state / "searches" / f"{search.name}{suffix}"
