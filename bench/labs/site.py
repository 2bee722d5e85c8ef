"""Site: where a lab stands. This machine (Here), or a Linux node over SSH (labs.remote_node)."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from bench.hosts.host import Host
from bench.hosts.local import Local
from bench.hosts.login import Login, Stream
from bench.images.cache import Image
from bench.labs import namespaces
from bench.labs.lease import Lease


class Room(Host, Protocol):
    """A namespace of a lab: a Host whose ports and sockets can be reached from here."""

    @property
    def netns(self) -> str:
        """The namespace's name below /run/netns."""
        ...

    @property
    def machine(self) -> str:
        """The machine that it is on, as errors name it."""
        ...

    def dial(self, address: str, port: int) -> Stream:
        """A TCP connection made from inside; raises OSError or HostFault."""
        ...

    def dial_file(self, path: str) -> Stream:
        """A connection to a unix socket there; raises OSError or HostFault."""
        ...


class Site(Protocol):
    """The machine under a lab, and where things of the lab lie on it."""

    @property
    def host(self) -> Host:
        """The machine itself."""
        ...

    def check(self) -> None:
        """Raise NotAble, naming the machine and what it lacks for every lab."""
        ...

    def rooms(self, lease: Lease, names: Sequence[str]) -> AbstractContextManager[Mapping[str, Room]]:
        """A namespace for each name; on leaving they are removed with everything in them, and the lease released."""
        ...

    def there(self, folder: Path) -> Path:
        """What is the lab's private folder on that machine, in place of ours; it is there while the rooms are."""
        ...

    def given(self, path: Path) -> Path:
        """A file of our private folder, on that machine. Raises HostFault."""
        ...

    def image(self, image: Image, say: Callable[[str], None]) -> Image:
        """The image by the names of its files on that machine. Raises HostFault."""
        ...

    def placed(self, content: bytes) -> AbstractContextManager[Path]:
        """A file with that content on that machine, which is no secret. Raises HostFault."""
        ...


class Here:
    """This machine: its files are ours."""

    def __init__(self, local: Host | None = None) -> None:
        self._local = local or Local()

    @property
    def host(self) -> Host:
        """See Site.host."""
        return self._local

    def check(self) -> None:
        """See Site.check: asked before, by bench.ready."""

    def rooms(self, lease: Lease, names: Sequence[str]) -> AbstractContextManager[Mapping[str, Room]]:
        """See Site.rooms."""
        return namespaces.rooms(lease, names)

    def there(self, folder: Path) -> Path:
        """See Site.there."""
        return folder

    def given(self, path: Path) -> Path:
        """See Site.given."""
        return path

    def image(self, image: Image, say: Callable[[str], None]) -> Image:
        """See Site.image."""
        del say
        return image

    @contextlib.contextmanager
    def placed(self, content: bytes) -> Iterator[Path]:
        """See Site.placed."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "file"
            path.write_bytes(content)
            yield path


@contextlib.contextmanager
def opened(node: Login | None, local: Host | None = None) -> Iterator[Site]:
    """The site of a lab: `node` over a connection that lasts as long as the context. Raises Unreachable, HostFault."""
    if node is None:
        yield Here(local)
        return
    from bench.labs.remote_node import reached  # noqa: PLC0415 - paramiko takes its time to import

    with reached(node) as site:
        yield site
