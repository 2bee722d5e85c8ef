"""Files for people and machines: each written whole, or not at all."""

import contextlib
import errno
import os
import sys
from pathlib import Path

from results.errors import NotAble, WrongInput


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; raises NotAble naming it, and then leaves what was there before.

    A pipe or device (`-o /dev/stdout`) is written to as it is: a file put in its place would be the end of it.
    """
    body = content.encode() if isinstance(content, str) else content
    part: Path | None = None
    try:
        target = path.resolve()  # through links: what they lead to is replaced, not the link
        if target.exists() and not target.is_file() and not target.is_dir():
            with target.open("wb") as there:
                there.write(body)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(target.name + ".part")
        with beside.open("wb") as file:
            part = beside
            file.write(body)
            file.flush()
            os.fsync(file.fileno())  # a file system may find out only now that it is full
        part.replace(target)
        part = None
    except (OSError, ValueError, RuntimeError) as error:  # a NUL in the name; links in a circle
        reason = getattr(error, "strerror", None) or str(error)
        full = getattr(error, "errno", None) in {errno.ENOSPC, errno.EDQUOT}
        hint = "make room, or name a place on another disk; nothing was left behind" if full else ""
        raise NotAble(f"cannot write {path}: {reason}", hint=hint) from error
    finally:
        if part is not None:
            with contextlib.suppress(OSError):
                part.unlink()


def print_out(content: str | bytes) -> None:
    """Write to standard output as it is; a reader that wanted no more (`| head`) is no error. Raises NotAble."""
    text = isinstance(content, str)
    if not text and sys.stdout.isatty():
        raise WrongInput("this is no text, and standard output is a terminal", hint="name a file: -o FILE")
    body = content.encode() if isinstance(content, str) else content
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _forget_stdout()
    except OSError as error:
        _forget_stdout()
        raise NotAble(f"cannot write to standard output: {error.strerror}") from error


def _forget_stdout() -> None:
    """What is left in the buffer goes nowhere; else Python complains when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
