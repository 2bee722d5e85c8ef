"""Checks that the rooms beside us are ours: their import names are generic, and a collision is silent."""

import importlib

ROOMS = ("bench", "tuning", "results")
MARK = "nettune"


class ForeignRoom(Exception):  # noqa: N818 - raised before the error tree may be imported
    """Another distribution owns one of our import names."""


def claim() -> None:
    """Raise ForeignRoom unless every room carries our marker. A marker, not a path: a wheel may overwrite a wheel."""
    for name in ROOMS:
        try:
            room = importlib.import_module(name)
        except ImportError as error:
            raise ForeignRoom(f"nettune's room {name!r} is missing: {error}") from error
        if getattr(room, "ROOM_OF", None) != MARK:
            raise ForeignRoom(
                f"the import name {name!r} is taken by {getattr(room, '__file__', 'something else')}; "
                "install nettune in a virtual environment of its own (pipx, uv tool)"
            )
