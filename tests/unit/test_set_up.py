"""scripts/set-up: on a node of Proxmox VE it does nothing unasked."""

import os
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.local import Local

SET_UP = Path(__file__).parents[2] / "scripts" / "set-up"


def test_on_a_node_nothing_is_done_unasked(tmp_path: Path) -> None:
    """A node is where its manager's program is; a folder of its name, left by something else, makes none."""
    told = {}
    for name in ("node", "none"):
        (tmp_path / name).mkdir()
    (tmp_path / "node" / "pveversion").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "node" / "pveversion").chmod(0o755)
    for name in ("node", "none"):
        path = f"PATH={tmp_path / name}:{os.environ['PATH']}"
        # a Python that is none: it ends there at the latest, before anything is installed
        told[name] = Local().run(Command(("env", path, "PYTHON=/nonexistent", "sh", str(SET_UP))))

    assert [told[name].returncode for name in told] == [3, 3]
    assert "this is a Proxmox VE node" in told["node"].stderr
    assert "Python 3.11 or later is needed as /nonexistent" in told["none"].stderr
