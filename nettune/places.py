"""Where nettune keeps things on this machine."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """`state` holds leases, journals and the lock; `store` is the URL or file of the results."""

    state: Path
    store: str
    cache: Path = Path("/var/cache/nettune")

    @property
    def leases(self) -> Path:
        """What labs created."""
        return self.state / "leases"

    @property
    def journals(self) -> Path:
        """What treatments changed."""
        return self.state / "journals"


def places(store: str = "") -> Places:
    """From --store, NETTUNE_STORE and NETTUNE_STATE; root's own is /var/lib/nettune, a user's is XDG's."""
    given = os.environ.get("NETTUNE_STATE", "")
    home = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    default = Path("/var/lib/nettune") if os.geteuid() == 0 else Path(home) / "nettune"
    state = Path(given) if given else default
    return Places(state, store or os.environ.get("NETTUNE_STORE", "") or str(state / "nettune.db"))
