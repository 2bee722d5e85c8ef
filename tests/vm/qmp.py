"""QEMU's monitor: a cable pulled, a machine reset as when the power fails.

python -m tests.vm.qmp SOCKET COMMAND [JSON]
"""

import json
import socket
import sys
from pathlib import Path
from typing import Any


def told(path: Path, execute: str, **arguments: Any) -> Any:  # Any: JSON
    """What the monitor returns. AssertionError with its words where it refuses."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.settimeout(30)
        channel.connect(str(path))
        stream = channel.makefile("rw", encoding="utf-8")
        stream.readline()  # its greeting
        for request in ({"execute": "qmp_capabilities"}, {"execute": execute, "arguments": arguments}):
            stream.write(json.dumps(request) + "\n")
            stream.flush()
            answer = {"event": ""}
            while "event" in answer:
                answer = json.loads(stream.readline())
            assert "return" in answer, answer
        return answer["return"]


if __name__ == "__main__":
    told(Path(sys.argv[1]), sys.argv[2], **json.loads(sys.argv[3] if len(sys.argv) > 3 else "{}"))
