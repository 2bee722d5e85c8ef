"""The double as tests use it: started, told what it has and how it fails, ended."""

import contextlib
import json
import subprocess  # noqa: TID251 - a process of the tests' own
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.pve.access import Access
from bench.pve.client import Client
from bench.pve.wire import Https


@dataclass
class Double:
    """A running one."""

    process: "subprocess.Popen[str]"
    port: int
    folder: Path
    lock: threading.Lock = field(default_factory=threading.Lock)  # what stands behind it asks from a thread

    def tell(self, name: str, *arguments: Any, **named: Any) -> Any:  # Any: JSON
        """A method of it, done. AssertionError with its words where it fails."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.lock:
            self.process.stdin.write(json.dumps([name, arguments, named]) + "\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["data"]

    def access(self, **changed: Any) -> Access:  # Any: fields of Access
        """root@pam by password, by the certificate's file, unless said otherwise."""
        given = {"host": "127.0.0.1", "who": "root@pam", "secret": "secret", "port": self.port,
                 "ca_file": str(self.folder / "fakepve.crt")}  # fmt: skip
        return Access(**{**given, **changed})

    def client(self, **changed: Any) -> Client:  # Any: as access
        """A Client of it that does not wait between tries."""
        return Client(Https(self.access(**changed)), sleep=lambda _: None)


@contextlib.contextmanager
def running(folder: Path, prefix: tuple[str, ...] = ()) -> Iterator[Double]:
    """One, until the block ends; `prefix` runs it somewhere else."""
    program = (*prefix, sys.executable, "-m", "tests.pve.double", str(folder))
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield Double(process, int(process.stdout.readline()), folder)
        finally:
            process.kill()
