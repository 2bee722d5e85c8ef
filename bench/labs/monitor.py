"""Monitor: QEMU's own channel to a guest that runs (QMP: JSON lines over a unix socket in the lab's folder)."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from bench.hosts.command import HostFault
from bench.hosts.login import Stream
from bench.hosts.namespace import dialed_file

_ANSWER_S = 10.0  # QEMU's main loop waits for its turn on a busy machine
_PIECE = 1 << 16
PATH_MOST = 107  # bytes of a unix socket's path (unix(7): sun_path has 108, with the NUL)


def switch_link(guest: str, path: Path, netdev: str, *, up: bool, dial: Callable[[str], Stream] = dialed_file) -> None:
    """Give the NIC on that netdev its carrier, or take it away. Raises HostFault naming guest and answer."""
    asked = {"execute": "set_link", "arguments": {"name": netdev, "up": up}}
    try:
        with contextlib.closing(dial(str(path))) as channel:
            channel.settimeout(_ANSWER_S)
            lines = _lines(channel)
            for request in ({"execute": "qmp_capabilities"}, asked):
                channel.sendall(json.dumps(request).encode() + b"\n")
                answered(guest, str(request["execute"]), lines)
    except (OSError, ValueError) as error:
        raise HostFault(
            f"guest {guest}: QEMU did not answer set_link on {path.name}: {error}", hint="has the guest ended?"
        ) from error


def _lines(channel: Stream) -> Iterator[bytes]:
    data = b""
    while piece := channel.recv(_PIECE):
        *whole, data = (data + piece).split(b"\n")
        yield from whole


def answered(guest: str, asked: str, lines: Any) -> Mapping[str, Any]:  # Any: an iterator of lines; JSON
    """What QEMU returned to the request before; the greeting and events are passed over. Raises HostFault."""
    for line in lines:
        told = json.loads(line)
        if "error" in told:
            raise HostFault(f"guest {guest}: QEMU refused {asked}: {told['error'].get('desc', told['error'])}")
        if "return" in told:
            return dict(told["return"])
    raise HostFault(f"guest {guest}: QEMU closed its monitor before it answered {asked}", hint="has the guest ended?")
