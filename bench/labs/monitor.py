"""Monitor: QEMU's own channel to a guest that runs (QMP: JSON lines over a unix socket in the lab's folder)."""

import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.hosts.command import HostFault

_ANSWER_S = 10.0  # QEMU's main loop waits for its turn on a busy machine
PATH_MOST = 107  # bytes of a unix socket's path (unix(7): sun_path has 108, with the NUL)


def switch_link(guest: str, path: Path, netdev: str, *, up: bool) -> None:
    """Give the NIC on that netdev its carrier, or take it away. Raises HostFault naming guest and answer."""
    asked = {"execute": "set_link", "arguments": {"name": netdev, "up": up}}
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(_ANSWER_S)
            channel.connect(str(path))
            with channel.makefile("rwb") as lines:
                for request in ({"execute": "qmp_capabilities"}, asked):
                    lines.write(json.dumps(request).encode() + b"\n")
                    lines.flush()
                    answered(guest, str(request["execute"]), iter(lines.readline, b""))
    except (OSError, ValueError) as error:
        raise HostFault(
            f"guest {guest}: QEMU did not answer set_link on {path.name}: {error}", hint="has the guest ended?"
        ) from error


def answered(guest: str, asked: str, lines: Any) -> Mapping[str, Any]:  # Any: an iterator of lines; JSON
    """What QEMU returned to the request before; the greeting and events are passed over. Raises HostFault."""
    for line in lines:
        told = json.loads(line)
        if "error" in told:
            raise HostFault(f"guest {guest}: QEMU refused {asked}: {told['error'].get('desc', told['error'])}")
        if "return" in told:
            return dict(told["return"])
    raise HostFault(f"guest {guest}: QEMU closed its monitor before it answered {asked}", hint="has the guest ended?")
