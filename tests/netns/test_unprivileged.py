"""Runs of an ordinary user on the real kernel: what they give, what is said, how they end, what they leave."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess  # noqa: TID251 - the tests stand outside the door
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.facts.machine import in_user_namespace
from bench.hosts.local import Local
from bench.labs import lease
from nettune import unprivileged
from tests.netns.nettune_command import PROGRAM, nettune, plan_file, start
from tests.netns.ordinary_user import ROOT, UID, prefix

_SOON_S = 20.0  # for what takes milliseconds on an idle machine


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of the ordinary user's own, with a plan; afterwards no process and no namespace of theirs is left."""
    folder = Path(tempfile.mkdtemp(prefix="nettune-home-"))  # pytest's own folders are closed to others
    plan_file(folder)
    if os.geteuid() == 0 and not in_user_namespace(Local()):
        for path in (folder, folder / "plan.yaml"):
            os.chown(path, UID, UID)
    for name, value in {"HOME": str(folder), "NETTUNE_STATE": "", "XDG_STATE_HOME": str(folder), "COLUMNS": "200",
                        "PYTHONDONTWRITEBYTECODE": "1"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    before = lease.namespaces(Local())
    yield folder
    left = _left(folder)
    shutil.rmtree(folder)

    assert left == []
    assert lease.namespaces(Local()) == before


def _left(folder: Path) -> list[str]:
    """The processes that have that home, once those that are ending have ended; zombies are their parent's to bury."""
    deadline = time.monotonic() + _SOON_S
    while True:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (
                    process.name != str(os.getpid())
                    and f"HOME={folder}\0".encode() in (process / "environ").read_bytes()
                ):
                    found.append((process / "cmdline").read_text())
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _started(home: Path, *words: str) -> subprocess.Popen[str]:
    """A run of that user, once it measures."""
    running = start("run", str(home / "plan.yaml"), *words, prefix=prefix())
    assert running.stderr is not None
    line = running.stderr.readline()
    assert "block 1 of" in line, line
    return running


def test_an_ordinary_user_measures_and_is_told_what_changes(home: Path) -> None:
    """Exit code 0, all files the user's own, and the note on the screen, in the report and with the run's facts."""
    done = nettune(
        "run", str(home / "plan.yaml"), "--blocks", "2", "--out", str(home / "out"), prefix=prefix()
    )  # fmt: skip
    document = json.loads((home / "out" / "show.json").read_text())
    owners = {path.stat().st_uid for path in home.rglob("*")}

    assert (done.returncode, document["status"]) == (0, "complete"), done.stderr
    assert unprivileged.NOTE in done.stdout
    assert unprivileged.NOTE in document["notes"]
    assert "in a user namespace" in (home / "out" / "report.html").read_text()
    assert document["machine"]["user namespace"] == "yes"
    assert document["trials"].items() >= {"done": 6, "failed": 0, "missing": 0}.items()
    assert owners == {home.stat().st_uid}
    assert (home / "nettune" / "nettune.db").exists()
    assert list((home / "nettune" / "leases").iterdir()) == []


def test_the_kernel_can_do_the_same_without_root(home: Path, tmp_path: Path) -> None:
    """`lab check` gives the answers that it gives as root: each was tried. Taps are a matter of a file's mode."""
    if os.geteuid() != 0:
        pytest.skip("the comparison needs root")
    done = nettune("lab", "check", "--json", prefix=prefix())
    as_root = nettune("lab", "check", "--json", prefix=("env", f"NETTUNE_STATE={tmp_path}"))

    assert (done.returncode, as_root.returncode) == (0, 0), done.stderr + as_root.stderr
    told, of_root = ({each["name"]: each for each in json.loads(outcome.stdout)} for outcome in (done, as_root))
    if not Path("/dev/net/tun").exists() or not Path("/dev/net/tun").stat().st_mode & 0o002:
        assert told.pop("tun")["word"] == "no"
        of_root.pop("tun")
    assert told == of_root


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_of_an_ordinary_user_goes_on_later(home: Path, number: signal.Signals) -> None:
    """Sent to the process that was started: it ends with 130, cleanly, and is resumed to its end."""
    running = _started(home, "--blocks", "2")
    running.send_signal(number)
    _, errors = running.communicate(timeout=_SOON_S)
    resumed = nettune("run", "--resume", "last", prefix=prefix())

    assert running.returncode == 130, errors
    assert "interrupted" in errors
    assert list((home / "nettune" / "leases").iterdir()) == []
    assert list((home / "nettune" / "journals").iterdir()) == []
    assert (resumed.returncode, resumed.stderr.count("Traceback")) == (0, 0), resumed.stderr


def test_a_terminal_stays_a_terminal(home: Path) -> None:
    """The bar is drawn, and Ctrl-C typed there ends the run as it does for root."""
    words = shlex.join([*prefix(), *PROGRAM, "run", str(home / "plan.yaml"), "--blocks", "30"])
    with subprocess.Popen(
        ("script", "-qec", words, "/dev/null"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as terminal:
        assert terminal.stdin is not None
        assert terminal.stdout is not None
        seen = b""
        while b"block 1/30" not in seen:
            read = os.read(terminal.stdout.fileno(), 4096)
            assert read, seen
            seen += read
        terminal.stdin.write(b"\x03")
        terminal.stdin.flush()
        seen += terminal.stdout.read()

    assert terminal.returncode == 130, seen
    assert b"interrupted; the machine is as it was" in seen


def test_a_killed_run_of_an_ordinary_user_takes_its_namespaces_along(home: Path) -> None:
    """SIGKILL leaves no process; reap says that nothing is left and clears the leases; the run is resumed."""
    running = _started(home, "--blocks", "2")
    running.kill()
    running.communicate(timeout=_SOON_S)
    left = _left(home)
    leases = len(list((home / "nettune" / "leases").iterdir()))
    reaped = nettune("lab", "reap", prefix=prefix())
    again = nettune("lab", "reap", prefix=prefix())
    resumed = nettune("run", "--resume", "last", prefix=prefix())

    assert (running.returncode, left, leases) == (-signal.SIGKILL, [], 1)
    assert (reaped.returncode, reaped.stdout.count("nothing of it is left")) == (0, 1), reaped.stderr
    assert again.stdout == "nothing to reap\n"
    assert list((home / "nettune" / "journals").iterdir()) == []
    assert resumed.returncode == 0, resumed.stderr


def test_where_user_namespaces_are_used_up_it_says_so_and_makes_nothing(home: Path) -> None:
    """Exit code 3, the kernel's word, the limit, what to do; no state, no lease. Within a limit of the test's own."""
    limit = 'echo 1 >/proc/sys/user/max_user_namespaces; exec unshare --user --map-user=1 --map-group=1 -- "$@"'
    inside = ("unshare", "--user", "--map-root-user", "--", "sh", "-ec", limit, "sh")
    done = nettune("run", str(home / "plan.yaml"), prefix=(*prefix(), *inside))

    assert (done.returncode, done.stdout) == (3, "")
    assert "network namespaces need root, and a user namespace cannot stand in for it here" in done.stderr
    assert "No space left on device (user.max_user_namespaces is reached)" in done.stderr
    assert "hint: run it as root, or with sudo" in done.stderr
    assert not (home / "nettune").exists()


def test_a_knob_that_asks_for_the_machines_root_is_skipped_by_name(home: Path) -> None:
    """Its files look writable from inside; the kernel refuses, which is found before the first trial."""
    text = (home / "plan.yaml").read_text().replace("mtu-1300: {mtu: 1300}", "steered: {rps_cpus: 1}")
    (home / "plan.yaml").write_text(text)
    done = nettune("run", str(home / "plan.yaml"), "--blocks", "2", prefix=prefix())

    assert done.returncode == 0, done.stderr
    assert "skipped bridge/steered: not settable here: rps_cpus asks for the machine's root" in done.stdout


def test_the_scripts_need_no_root_either(home: Path) -> None:
    """What `make demo` goes through: root of a user namespace, with the exit code of what was run."""
    command = (*prefix(), "scripts/as-root", "sh", "-c", "id -u; exit 7")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (7, "0\n", "")
