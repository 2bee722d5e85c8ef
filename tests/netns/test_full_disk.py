"""A disk that is full, for real: a tiny tmpfs in a mount namespace of its own, gone with the process."""

import subprocess  # noqa: TID251 - the tests stand outside the door
from pathlib import Path

import pytest

from tests.netns.nettune_command import PROGRAM
from tests.unit.nettune.kept import kept_example

# Mounts 64 KiB on $1, fills it up to $2 bytes, runs the program there, and lists what is there afterwards.
_SCRIPT = """\
set -eu
mount -t tmpfs -o size=64k tmpfs "$1"
printf 'what was there before\\n' > "$1/$3"
if [ "$2" -gt 0 ]; then head -c "$2" /dev/zero > "$1/filler"; fi
folder=$1 name=$3
shift 3
code=0
"$@" -o "$folder/$name" >&2 || code=$?
rm -f "$folder/filler"
for each in "$folder"/*; do printf '%s=%s\\n' "${each##*/}" "$(head -c 21 "$each")"; done
exit "$code"
"""


FULL = {  # bytes that are taken beforehand: none where the file itself is too large
    "run.csv": 0,
    "run.json": 61_000,
    "run.parquet": 61_000,
    "run.md": 61_000,
    "report.html": 0,
}


@pytest.mark.parametrize(("name", "taken_bytes"), FULL.items(), ids=FULL)
def test_a_full_disk_is_named_and_nothing_half_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, taken_bytes: int
) -> None:
    """Exit code 3, the file's name, what was there before as it was, and no .part beside it."""
    monkeypatch.setenv("NETTUNE_STATE", str(tmp_path / "state"))
    kept_example(tmp_path / "state" / "nettune.db")
    disk = tmp_path / "disk"
    disk.mkdir()
    verb = "report" if name == "report.html" else "export"
    words = ["unshare", "--mount", "sh", "-c", _SCRIPT, "sh", str(disk), str(taken_bytes), name, *PROGRAM, verb]
    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert list(disk.iterdir()) == []  # the mount was never seen here
    assert done.stdout == f"{name}=what was there before\n"
    assert done.returncode == 3, done.stderr
    assert f"nettune: cannot write {disk / name}: No space left on device\n  hint: make room" in done.stderr
    assert "Traceback" not in done.stderr
