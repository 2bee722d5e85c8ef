"""The names that people give to runs."""

import re

from results.errors import WrongInput

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,79}")  # no colon and no comma: `compare` takes lists of label:NAME


def check(label: str) -> None:
    """Raise WrongInput for what cannot be a label; "" is none."""
    if label and not _LABEL.fullmatch(label):
        near = re.sub(r"[^A-Za-z0-9._+-]+", "-", label).strip("-")[:80]
        raise WrongInput(
            f"--label {label!r}: a label is a word of letters, digits and . _ + -, of at most 80",
            hint=f"did you mean {near!r}?" if near else "",
        )
