"""Several files in one question, `tail -v -n +1 FILE …`: what it prints, by file."""

import re


def files(text: str) -> dict[str, str]:
    """The content of each file by its path; one that is not there is left out."""
    return dict(re.findall(r"^==> (\S+) <==\n(.*?)(?=^==> |\Z)", text, re.MULTILINE | re.DOTALL))
