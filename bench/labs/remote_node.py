"""A Linux node over SSH as a Site: a lab's namespaces, guests and files stand there, and nothing of ours is installed.

Files that many labs need lie in CACHE under the SHA-256 of their content, checked before each use; a lab's own in a
private folder that goes with it (labs.caretaking).
"""

import contextlib
import functools
import hashlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from pathlib import Path

from bench.hosts.command import Command, HostFault
from bench.hosts.login import Login
from bench.hosts.remote_namespace import BRIDGES, entered
from bench.hosts.ssh import Ssh, connected
from bench.images.cache import Image
from bench.labs.caretaking import KIND, Standing
from bench.labs.lease import Lease
from bench.labs.namespaces import HINT
from bench.labs.site import Room
from bench.shield import carried_through
from results.errors import NotAble

CACHE = "/var/cache/nettune/files"
_TOOLS = ("ip", "ss", "ethtool", "setpriv", "setsid", "nsenter", "timeout", "sha256sum", "cat", "sed")
_COPY_S = 3600.0  # for an image: 30 kB/s
_SAY_EVERY_S = 5.0
_LACKING = 'for tool do command -v "$tool" >/dev/null || echo "$tool"; done'
# $1 takes the name $2 if its content has the digest $3. What a broken connection left of others is older than a day.
_KEPT = """\
if [ "$(sha256sum <"$1" | cut -c 1-64)" = "$3" ]; then chmod 0444 "$1" && mv -f -- "$1" "$2"
else rm -f -- "$1"; echo "what arrived is not what was sent" >&2; exit 1; fi
find "${2%/*}" -name '*.part*' -mtime +0 -delete
"""


class RemoteNode:
    """See Site; made by `reached`."""

    def __init__(self, host: Ssh, login: Login) -> None:
        self._ssh = host
        self._login = login

    @property
    def host(self) -> Ssh:
        """See Site.host."""
        return self._ssh

    def check(self) -> None:
        """See Site.check."""
        user, told = self._ssh.run_all(
            (Command(("id", "-u")), Command(("sh", "-c", _LACKING, "sh", *_TOOLS, *BRIDGES)))
        )
        if user.require().stdout.strip() != "0":
            raise NotAble(f"on {self._ssh.name}: {HINT}", hint="ssh: ssh://root@…, or sudo: on")
        missing = told.require().stdout.split()
        lacking = [tool for tool in _TOOLS if tool in missing]
        if set(BRIDGES) <= set(missing):
            lacking.append(" or ".join(BRIDGES))
        if lacking:
            raise NotAble(
                f"on {self._ssh.name}: not installed: {', '.join(lacking)}",
                hint=f"on {self._ssh.name}: apt-get install --no-install-recommends iproute2 ethtool socat",
            )

    @contextlib.contextmanager
    def rooms(self, lease: Lease, names: Sequence[str]) -> Iterator[Mapping[str, Room]]:
        """See Site.rooms. Where the node is gone the lease stays: its caretaker removes what stands there."""
        standing = Standing(self._login, lease.lease_id, tuple(names))
        lease.note(KIND, standing.noted())
        netns = standing.namespaces
        end = functools.partial(_ended, standing, self._ssh, lease)
        try:
            with standing.caretaken(self._ssh):
                made = "".join(f"netns add {each}\n" for each in netns.values())
                self._ssh.run(Command(("ip", "-batch", "-"), stdin=made)).require(HINT)
                with ExitStack() as stack:
                    yield {name: stack.enter_context(entered(self._ssh, name, netns[name])) for name in names}
                carried_through(end)
        except BaseException:
            with contextlib.suppress(NotAble):  # what failed first is what is told
                carried_through(end)
            raise

    def there(self, folder: Path) -> Path:
        """See Site.there: our folder has the lease's name too."""
        return Path(Standing(self._login, folder.name, ()).folder)

    def given(self, path: Path) -> Path:
        """See Site.given."""
        there = self.there(path.parent) / path.name
        self._ssh.put(path, str(there))
        return there

    def image(self, image: Image, say: Callable[[str], None]) -> Image:
        """See Site.image."""
        return replace(image, files={name: self._kept(path, say) for name, path in image.files.items()})

    def placed(self, content: bytes) -> AbstractContextManager[Path]:
        """See Site.placed: it is kept for the next time."""
        return contextlib.nullcontext(self._kept(content, lambda _: None))

    def _kept(self, source: Path | bytes, say: Callable[[str], None]) -> Path:
        """A file of CACHE there with that content, copied unless it is there and whole."""
        digest, size_bytes = _digest(source)
        path = f"{CACHE}/{digest}"
        if self._ssh.run(Command(("sha256sum", path), deadline_s=60.0)).stdout.startswith(f"{digest} "):
            return Path(path)
        self._ssh.run(Command(("mkdir", "-p", CACHE))).require("is its disk writable?")
        part = f"{path}.part-{secrets.token_hex(4)}"
        told = _Told(f"copying {size_bytes / 1e6:.0f} MB of the guests' image to {self._ssh.name}", size_bytes, say)
        self._ssh.put(source, part, deadline_s=_COPY_S, sent=told.sent)
        kept = Command(("sh", "-c", _KEPT, "sh", part, path, digest), deadline_s=60.0)
        self._ssh.run(kept).require(f"is the disk of {self._ssh.name} full?")
        return Path(path)


def _ended(standing: Standing, host: Ssh, lease: Lease) -> None:
    standing.remove(host)
    lease.release()


class _Told:
    """Progress of a file, in a line every few seconds."""

    def __init__(self, what: str, size_bytes: int, say: Callable[[str], None]) -> None:
        self._what, self._size_bytes, self._say = what, size_bytes, say
        self._began = self._last = time.monotonic()
        if size_bytes > 1e6:
            say(what)

    def sent(self, bytes_: int) -> None:
        """So much is on its way."""
        now = time.monotonic()
        if now - self._last >= _SAY_EVERY_S:
            self._last = now
            left_s = (now - self._began) / bytes_ * (self._size_bytes - bytes_)
            self._say(f"{self._what}: {bytes_ / 1e6:.0f} MB, {left_s:.0f} s left")


def _digest(source: Path | bytes) -> tuple[str, int]:
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest(), len(source)
    try:
        with source.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), source.stat().st_size
    except OSError as error:
        raise HostFault(f"{source} cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def reached(login: Login) -> Iterator[RemoteNode]:
    """The node over one connection, which lasts as long as the context. Raises Unreachable, HostFault."""
    with connected(login.address, login) as host:
        yield RemoteNode(host, login)


def remove(text: str) -> str:
    """What a dead run left on a node, by its lease's line, in words; "" where nothing was left. Raises HostFault."""
    standing = Standing.from_noted(text)
    with connected(standing.login.address, standing.login) as host:
        found = standing.remove(host)
    return f"{', '.join(found)} on {standing.login}" if found else ""
