"""Guards of networks that bench.pve makes on nodes: the guard of trials, with lines of that room's own."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.hosts.command import Command
from bench.hosts.host import Host
from bench.pve.guarding import Guarded
from tuning import guard, restoring
from tuning.guard import ROOT, Guard

# $1 root, $2 words. The ids of guards whose second line has them.
_OF = """\
for folder in "$1"/*/; do
  [ "$(sed -n '2p;2q' "$folder/restore" 2>/dev/null)" != "$2" ] || { folder=${folder%/}; echo "${folder##*/}"; }
done
"""


@dataclass(frozen=True, slots=True)
class NetworkGuard:
    """See bench.pve.guarding.Guarded."""

    of: Guard

    def renew(self, seconds: float) -> None:
        """See Guarded.renew."""
        self.of.renew(seconds)

    def put_back(self) -> None:
        """See Guarded.put_back. Where it had fired and was disarmed there is nothing left to run."""
        if not self.of.host.run(Command(("test", "-d", f"{ROOT}/{self.of.guard_id}"))).ok:
            return
        guard.put_back(self.of.host, self.of.guard_id)
        self.of.disarm()

    def disarm(self) -> None:
        """See Guarded.disarm."""
        fired = self.of.fired
        log = self.of.disarm()
        if fired or log:
            raise guard.NotGuarded(f"on {self.of.host.name}: the guard had fired: the node put its network back")


class NetworkGuards:
    """See bench.pve.guarding.Guards."""

    def arm(self, host: Host, about: str, lines: Sequence[str], looks: Sequence[str], seconds: float) -> Guarded:
        """See Guards.arm."""
        return NetworkGuard(guard.arm(host, restoring.script(lines, _comment(about), looks), seconds))

    def left(self, host: Host, about: str) -> tuple[Guarded, ...]:
        """See Guards.left."""
        told = host.run(Command(("sh", "-c", _OF, "sh", ROOT, _comment(about)))).require().stdout
        return tuple(NetworkGuard(Guard(host, each)) for each in told.split())


def _comment(about: str) -> str:
    return f"# nettune network: {about}"
