"""A validation as one HTML file: the answer, the matrix with its evidence, both NICs. No request leaves the file."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import results
from tuning.offload.document import failed, required_words
from tuning.offload.evidence import BAD, GOOD, Validation, Verdict

_CSS = Path(results.__file__).parent / "templates" / "report.css"


def page(found: Validation, required: Sequence[str] = ()) -> str:
    """The file. Whatever a host or driver said is escaped."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    ).get_template("page.html.j2")
    return made.render(
        found=found,
        against=failed(found, required),
        holds=required_words(found, required),
        colour=_colour,
        facts=list(dict.fromkeys((*found.nic.identity, *found.other.identity))),
        bits=list(dict.fromkeys((*found.nic.features, *found.other.features))),
        kept=sorted({each for bits in found.nic.bits.values() for each in bits}),
        css=Markup(_CSS.read_text(encoding="utf-8")),  # noqa: S704 - our own file
    )


def _colour(verdict: Verdict) -> str:
    return "bad" if verdict in BAD else "good" if verdict in GOOD else "open"
