"""What Proxmox VE answers when it does not do a thing, as errors that say what to do about it.

Source of the codes: pve-http-server (PVE/APIServer/AnyEvent.pm, PVE/RESTEnvironment.pm); a `die` of a handler is a 500.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping

from results.errors import NotAble

_MISSING = re.compile(r"Permission check failed \((?P<path>[^,)]+), (?P<privileges>[^)]+)\)")
_LOCKED = re.compile(r"got timeout|is locked \((?!disk)|can't lock file", re.IGNORECASE)
# Words of Proxmox VE (qemu-server, pve-container, PVE::Network, PVE::Cluster) -> what to do about them.
_HINTS = (
    (r"MAX \d+ vcpus", "cores: no more than the node has CPUs"),
    (r"No space left|not enough free space|out of (data )?space", "another storage, or room there: pvesm status"),
    (r"no quorum", "on a node: pvecm status; more than half of the cluster's nodes must see each other"),
    (r"is locked \(", "another task works on it; where none does any more, on its node: qm unlock ID (or pct unlock)"),
    (r"got timeout|can't lock file", "another task holds it: the node's task list says which"),
    (r"MTU '?\d+'? is bigger than the bridge MTU", "mtu: no more than the bridge's, or raise that of its ports first"),
    (r"vlan aware feature need|no physical interface on bridge", "bridge-vlan-aware yes, in the node's network"),
    (r"bridge '[^']*' (does not exist|is not active)", "pvesh get /nodes/NODE/network says which there are"),
    (r"storage '[^']*' (does not exist|is not (online|available))", "pvesm status, on that node"),
    (r"did not end within", "the node's task log says what it waited for; `ready_s` gives a start more time"),
    (r"guest agent is not running|No QEMU guest agent", "qemu-guest-agent belongs into the template"),
)


class PveFault(NotAble):
    """A call that was refused or failed. `call`: "POST /nodes/pve1/qemu"; `status`: 0 where no answer came."""

    def __init__(self, call: str, status: int, said: str, *, hint: str = "") -> None:
        super().__init__(f"{call}: {said}" + (f" ({status})" if status else ""), hint=hint or _hint(said))
        self.call, self.status, self.said = call, status, said

    @property
    def passes(self) -> bool:
        """True for what the next attempt may get: a lock that somebody holds, a node out of reach for a moment."""
        return self.status in {0, 595, 596, 599} or (self.status == 500 and _LOCKED.search(self.said) is not None)


class Refused(PveFault):
    """400: a parameter is not as it must be. `fields`: name -> what is wrong with it."""

    def __init__(self, call: str, said: str, fields: Mapping[str, str]) -> None:
        told = "; ".join(f"{name}: {why}" for name, why in fields.items())
        super().__init__(call, 400, told or said)
        self.fields = dict(fields)


class NotLoggedIn(PveFault):
    """401: a token or ticket that does not count, or does no more."""


class Forbidden(PveFault):
    """403. `path` and `privileges` are what is missing, where it says so."""

    def __init__(self, call: str, said: str) -> None:
        match = _MISSING.search(said)
        self.path = match["path"] if match else ""
        self.privileges = match["privileges"] if match else ""
        hint = f"pveum acl modify {self.path} ... : nettune pve check says all that is missing" if match else ""
        super().__init__(call, 403, said, hint=hint)


class Unreachable(PveFault):
    """No answer: nobody listens there, another certificate than the pinned one, a node that is down."""


class NotTrusted(Unreachable):
    """Nothing was sent: who answers there has another certificate than the known one."""

    @property
    def passes(self) -> bool:
        """See PveFault.passes: that will not change by itself."""
        return False


class TaskFailed(PveFault):
    """A task that ended otherwise than OK; `tail` is the end of its log."""

    def __init__(self, call: str, upid: str, status: str, tail: str) -> None:
        more = f"; its log ends: {tail}" if tail and tail != status else ""
        super().__init__(call, 500, f"task {upid}: {status}{more}")
        self.upid = upid


@contextlib.contextmanager
def doing(what: str) -> Iterator[None]:
    """A block whose faults say what it was for: "make VM 101 (nettune-a) on pve1". Raises what the block raises."""
    try:
        yield
    except PveFault as error:
        if not str(error).startswith(what):  # a task's says it already
            error.args = (f"{what}: {error}",)
        raise


def _hint(said: str) -> str:
    return next((hint for words, hint in _HINTS if re.search(words, said, re.IGNORECASE)), "")


def of(call: str, status: int, said: str, fields: Mapping[str, str]) -> PveFault:
    """The error of an answer."""
    said = " ".join(said.split()) or "without a word"
    match status:
        case 400:
            return Refused(call, said, {name: " ".join(str(why).split()) for name, why in fields.items()})
        case 401:
            return NotLoggedIn(
                call, status, said, hint="is the token whole (USER@REALM!NAME and its secret), and not expired?"
            )
        case 403:
            return Forbidden(call, said)
        case 501:
            return PveFault(call, status, said, hint="this version of Proxmox VE has no such call")
        case 595 | 596 | 599:
            return Unreachable(
                call, status, said, hint="the node that it was passed on to is not reachable in the cluster"
            )
    return PveFault(call, status, said)
