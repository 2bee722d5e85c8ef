"""Times as they are typed."""

import re

from results.errors import WrongInput

_TIME = re.compile(r"([0-9]{1,5}(?:\.[0-9]+)?)([smh])")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(option: str, text: str) -> float | None:
    """The seconds of a time such as 90s, 6m or 2h; None for "". Raises WrongInput naming the option."""
    if not text:
        return None
    found = _TIME.fullmatch(text)
    if found is None:
        raise WrongInput(f"{option} {text!r} is no time", hint="90s, 10m or 2h")
    return float(found[1]) * _SECONDS[found[2]]
