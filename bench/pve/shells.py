"""The nodes' own SSH, for what the API has no call for: a container's files, an older node's disks, pinning CPUs."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.hosts.command import Command, Outcome
from bench.hosts.login import Login
from bench.hosts.ssh import Ssh, connected
from results.errors import NotAble


def login(nodes: Mapping[str, Login], node: str, why: str) -> Login:
    """Of a node. Raises NotAble with `why` where the cluster's file has none."""
    if node not in nodes:
        raise NotAble(f"{why}, and the cluster's file has no SSH of {node}",
                      hint=f"nodes: {{{node}: {{ssh: ssh://root@{node}}}}}")  # fmt: skip
    return nodes[node]


@dataclass(frozen=True, slots=True)
class NodeShells:
    """Of the nodes that a cluster's file names; logged in at the first word. Safe to use from several threads."""

    nodes: Mapping[str, Login]
    _stack: contextlib.ExitStack
    _locks: Mapping[str, threading.Lock]  # of each node: an Ssh is for one thread at a time
    _hosts: dict[str, Ssh] = field(default_factory=dict)

    def login(self, node: str, why: str) -> Login:
        """See login."""
        return login(self.nodes, node, why)

    def run(self, node: str, command: Command, why: str) -> Outcome:
        """A command there. Raises NotAble as `login`, HostFault."""
        with self._host(node, why) as host:
            return host.run(command)

    def put(self, node: str, source: Path, remote: str, why: str, *, deadline_s: float) -> None:
        """A file there. Raises as `run`."""
        with self._host(node, why) as host:
            host.put(source, remote, deadline_s=deadline_s)

    @contextlib.contextmanager
    def _host(self, node: str, why: str) -> Iterator[Ssh]:
        """Held for the block; the other nodes' are not."""
        login = self.login(node, why)
        with self._locks[node]:
            if node not in self._hosts:
                self._hosts[node] = self._stack.enter_context(connected(node, login))
            yield self._hosts[node]


@contextlib.contextmanager
def opened(nodes: Mapping[str, Login]) -> Iterator[NodeShells]:
    """Shells whose connections end with the block."""
    with contextlib.ExitStack() as stack:
        yield NodeShells(nodes, stack, {node: threading.Lock() for node in nodes})
