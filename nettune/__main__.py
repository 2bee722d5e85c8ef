"""The one place that exits: 0 fine, 1 a check or gate did not hold, 2 wrong input, 3 not able here, 130 interrupted."""

import signal
import sys
from types import FrameType

from nettune.rooms import ForeignRoom, claim


class Interrupted(BaseException):
    """SIGINT, SIGTERM or SIGHUP. Not KeyboardInterrupt, which typer would turn into exit code 1."""


def main() -> None:
    """Claim the rooms, run the verb, print what went wrong."""
    try:
        claim()
    except ForeignRoom as error:
        sys.stderr.write(f"nettune: {error}\n")
        sys.exit(3)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupted)
    sys.exit(_run())


def _run() -> int:
    from nettune.cli import app
    from results.errors import Fault, WrongInput

    try:
        app()  # exits by itself: 0, a verb's own code, or 2 for options that cannot be
    except Interrupted as error:
        said = "; ".join(getattr(error, "__notes__", ()))
        _say(f"interrupted; {said or 'the machine is as it was. `nettune run --resume last` goes on'}")
        return 130
    except Fault as error:
        _say("; ".join((str(error), *getattr(error, "__notes__", ()))), error.hint)
        cause = error.__context__
        if isinstance(cause, Fault) and str(cause) != str(error):
            _say(f"before that: {cause}", cause.hint)
        return 2 if isinstance(error, WrongInput) else 3
    return 0


def _say(message: str, hint: str = "") -> None:
    sys.stderr.write(f"nettune: {message}\n" + (f"  hint: {hint}\n" if hint else ""))


def _interrupted(number: int, frame: FrameType | None) -> None:
    """The first signal unwinds and puts everything back; later ones must not cut that short."""
    del frame
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, _already)
    del number
    raise Interrupted


def _already(number: int, frame: FrameType | None) -> None:
    del number, frame
    _say("putting everything back; this takes a moment")


if __name__ == "__main__":
    main()
