"""Where profiles lie: those that ship, the anchors among them, and the operator's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from bench.document import nearest
from results.errors import WrongInput
from tuning import profile
from tuning.profile import Profile

Kind = Literal["role", "anchor", "own"]
_ROOT = Path(__file__).parents[1]


def folder() -> Path:
    """The folder of what ships: within the package nettune once it is installed, beside the rooms in a checkout."""
    installed = _ROOT / "nettune" / "profiles"
    return installed if installed.is_dir() else _ROOT / "profiles"


def shipped() -> Mapping[str, Path]:
    """Profiles by role, by name."""
    return _files(folder())


def anchors() -> Mapping[str, Path]:
    """Published profiles of others, by name: arms that a search has to beat."""
    return _files(folder() / "anchors")


def listed(own: Path) -> tuple[tuple[Kind, Path], ...]:
    """Every profile that a name may mean: by role, anchors, then those in the folder `own`."""
    return (
        *(("role", path) for path in shipped().values()),
        *(("anchor", path) for path in anchors().values()),
        *(("own", path) for path in _files(own).values()),
    )


def found(name: str, own: Path, or_else: str = "") -> Profile:
    """The profile of that name, or in that file; an operator's own goes before one that ships.

    Raises WrongInput naming the nearest name (and, behind it, what else may stand there), or file, line and key.
    """
    return profile.load(path_of(name, own, or_else))


def path_of(name: str, own: Path, or_else: str = "") -> Path:
    """The file of that name, or that file. Raises WrongInput."""
    known = {path.stem: path for _, path in listed(own)}
    if name in known:
        return known[name]
    if Path(name).suffix or "/" in name or Path(name).is_file():
        return Path(name)
    raise WrongInput(
        f"no profile {name!r}",
        hint=(nearest(name, known) or "`nettune profile list` has them; or give a file") + or_else,
    )


def _files(where: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(where.glob("*.yaml"))}
