"""What a node has and a namespace lacks: `qm` and `pct`, for the few things that go over a node's SSH.

    python -m tests.pve.shims PORT FOLDER qm|pct WORDS

`pct exec` enters the namespace that stands for the container; `qm` asks the double, as root@pam.
"""

import os
import sys
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.namespace import Namespace
from bench.pve.access import Access
from bench.pve.client import Client
from bench.pve.wire import Https, Value

WORDS = ("qm", "pct")


def installed(node: Namespace, port: int, pid: int, folder: Path) -> None:
    """Programs of a node: first in the PATH of whoever logs in there; `pid` is the double's, whose network they use."""
    here = Path(__file__).resolve().parent.parent.parent
    node.run(Command(("mount", "-t", "tmpfs", "none", "/usr/local/sbin"))).require()
    node.run(Command(("mount", "-t", "tmpfs", "none", "/var/tmp"))).require()  # noqa: S108 - its own from here on
    for word in WORDS:
        script = (
            f"#!/bin/sh\nexec env PYTHONPATH={here} nsenter --target {pid} --net -- {sys.executable} "
            f'-m tests.pve.shims {port} {folder} {word} "$@"\n'
        )
        node.run(Command(("tee", f"/usr/local/sbin/{word}"), stdin=script)).require()
        node.run(Command(("chmod", "755", f"/usr/local/sbin/{word}"))).require()


def _pct(folder: Path, words: list[str]) -> None:
    action, vmid, dashes, *argv = words
    assert (action, dashes) == ("exec", "--"), words
    pid = folder / f"ct{vmid}.pid"
    if not pid.exists():
        sys.exit(f"container '{vmid}' not running!")
    os.execvp("nsenter", ("nsenter", f"--target={pid.read_text(encoding='ascii')}", "--net", "--mount", "--", *argv))  # noqa: S606


def _qm(client: Client, words: list[str]) -> None:
    node = client.get("/nodes")[0]["node"]
    match words:
        case ["set", vmid, "--affinity", cpus]:
            client.put(f"/nodes/{node}/qemu/{vmid}/config", {"affinity": cpus})
        case ["importdisk", vmid, source, storage]:
            given: dict[str, Value] = {
                "vmid": int(vmid),
                "filename": f"vm-{vmid}-disk-9",
                "size": f"{Path(source).stat().st_size // 1024 + 1}",
            }
            disk = client.post(f"/nodes/{node}/storage/{storage}/content", given)
            client.put(f"/nodes/{node}/qemu/{vmid}/config", {"unused0": disk})
        case _:
            sys.exit(f"unknown: qm {' '.join(words)}")


def main() -> None:
    """One of them."""
    port, folder, word, *words = sys.argv[1:]
    if word == "pct":
        _pct(Path(folder), words)
        return
    access = Access("127.0.0.1", "root@pam", "secret", int(port), ca_file=str(Path(folder, "fakepve.crt")))
    _qm(Client(Https(access)), words)


if __name__ == "__main__":
    main()
