"""Where nettune keeps things on this machine."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """`state` holds leases, journals and the lock; `store` is the URL or file of results; `cache` can be made anew."""

    state: Path
    store: str
    cache: Path = Path("/var/cache/nettune")

    @property
    def leases(self) -> Path:
        """What labs created."""
        return self.state / "leases"

    @property
    def journals(self) -> Path:
        """What treatments changed on hosts of labs, which `lab reap` removes whole."""
        return self.state / "journals"

    @property
    def profiles(self) -> Path:
        """The operator's own profiles, which go by their names."""
        return self.state / "profiles"

    @property
    def journals_of_hosts(self) -> Path:
        """What treatments changed on machines that stand; nobody removes what is outstanding there."""
        return self.state / "journals-of-hosts"


def places(store: str = "") -> Places:
    """From --store, NETTUNE_STORE, NETTUNE_STATE and NETTUNE_CACHE; root's are below /var, a user's are XDG's."""
    state = _place("NETTUNE_STATE", "/var/lib/nettune", "XDG_STATE_HOME", ".local/state")
    cache = _place("NETTUNE_CACHE", "/var/cache/nettune", "XDG_CACHE_HOME", ".cache")
    return Places(state, store or os.environ.get("NETTUNE_STORE", "") or str(state / "nettune.db"), cache)


def _place(given: str, roots: str, xdg: str, users: str) -> Path:
    """The folder that the variable `given` names; else root's own; else nettune's in what `xdg` or the home holds."""
    if named := os.environ.get(given, ""):
        return Path(named)
    if os.geteuid() == 0:
        return Path(roots)
    return Path(os.environ.get(xdg) or Path.home() / users) / "nettune"
