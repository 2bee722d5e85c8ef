"""The table of combinations that others have found broken (known_bad.yaml): hints with their source, never a change."""

import fnmatch
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import document
from bench.document import Node
from tuning.offload import features
from tuning.offload.inventory import Nic

_FILE = Path(__file__).with_name("known_bad.yaml")
_KEYS = ("driver", "pci", "since", "until", "features", "what", "hint", "source", "grade")
_GRADES = ("report", "documented")


@dataclass(frozen=True, slots=True)
class Known:
    """One row; "" and () where it says nothing."""

    driver: str
    what: str
    hint: str
    source: str
    grade: str
    pci: str = "*"
    since: str = ""
    until: str = ""
    features: tuple[str, ...] = ()

    def fits(self, nic: Nic) -> bool:
        """Whether it is about this NIC: driver, device, kernel, and a feature that the NIC has on."""
        kernel = release(nic.identity.get("kernel", ""))
        on = {name for name, value in nic.features.items() if value.startswith("on")}
        return (
            nic.driver == self.driver
            and (self.pci == "*" or fnmatch.fnmatchcase(nic.pci_id, self.pci))
            and (not self.since or not kernel or kernel >= release(self.since))
            and (not self.until or not kernel or kernel < release(self.until))
            and (not self.features or bool(on & set(self.features)))
        )

    @property
    def words(self) -> str:
        """The hint as it is shown."""
        return f"{self.what}. {self.hint} ({self.grade}: {self.source})"


def hints(nic: Nic) -> tuple[str, ...]:
    """What the table says of a NIC."""
    return tuple(each.words for each in table() if each.fits(nic))


@functools.cache
def table() -> tuple[Known, ...]:
    """All rows. Raises WrongInput naming the line of one that cannot be read."""
    return read(_FILE.read_text(encoding="utf-8"), _FILE.name)


def read(text: str, name: str) -> tuple[Known, ...]:
    """The rows of a table in YAML. Raises WrongInput naming file, line and key."""
    return tuple(_row(node) for node in document.read(text, name).items())


def _row(node: Node) -> Known:
    given = node.mapping(_KEYS)
    for key in ("driver", "what", "hint", "source", "grade"):
        if key not in given:
            node.wrong(f"a row has no {key!r}")
    for key in ("since", "until"):
        if key in given and not release(given[key].text()):
            given[key].wrong(f"{given[key].text()!r} is no kernel release", hint='"6.17"')
    names: Sequence[str] = [each.text() for each in given["features"].items()] if "features" in given else ()
    unknown = features.unknown(names)
    if unknown:
        given["features"].wrong(f"{unknown[0]!r} is no feature")
    words = {
        key: given[key].text() for key in ("driver", "what", "hint", "source", "pci", "since", "until") if key in given
    }
    return Known(**words, grade=given["grade"].choice(_GRADES), features=features.named(names))


def release(text: str) -> tuple[int, ...]:
    """(6, 8, 12) of "6.8.12-4-pve"; () where it begins with no number."""
    found = re.match(r"\d+(?:\.\d+)*", text)
    return tuple(int(word) for word in found[0].split(".")) if found else ()
