"""What a validation looks like on the screen and in files; two of them side by side."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from nettune import files
from nettune.say import Screen
from results.errors import WrongInput
from results.records import Run
from tuning.offload.cases import FAULTS
from tuning.offload.comparing import TITLES, comparison
from tuning.offload.document import document, failed, read, required_words
from tuning.offload.evidence import BAD, GOOD, FeatureVerdict, Validation
from tuning.offload.weighing import another, weighed
from tuning.recommend import Advice

_SHOWN = ("driver", "driver version", "firmware", "bus", "kernel", "speed", "PCIe", "PCIe at most", "RSS", "XDP")


def told(screen: Screen, found: Validation, required: Sequence[str]) -> None:
    """The NIC, the levels, the matrix; what nobody can judge here in one line."""
    nic = found.nic
    known = "; ".join(f"{name} {nic.identity[name]}" for name in _SHOWN if name in nic.identity)
    screen.line(f"{nic.host}.{nic.device} ({known}) with {found.other.host}.{found.other.device} over {found.path}")
    rows = [
        (f"{number}", each.level, _outcome(each.outcome), each.evidence[0] if each.evidence else "")
        for number, each in enumerate(found.levels, 1)
    ]
    screen.table("levels", ("#", "level", "outcome", "first of what speaks against it"), rows)
    judged = [row for row in found.features if row.verdict not in {"can't be judged here", "not present"}]
    screen.table(
        "features",
        ("feature", "way", "verdict", "evidence"),
        [(row.feature, row.direction, _mark(row), _why(row)) for row in judged],
    )
    for word in ("can't be judged here", "not present"):
        names = [row.feature for row in found.features if row.verdict == word]
        if names:
            screen.line(f"{word}: {', '.join(dict.fromkeys(names))}", "dim")
    for line in found.hints:
        screen.line(f"known of this driver: {line}", "yellow")
    for line in found.notes:
        screen.line(line, "yellow")
    for line in required_words(found, required):
        screen.line(line)
    against = failed(found, required)
    for line in against:
        screen.line(f"✘ {line}", "red")
    for row in found.features:
        if row.verdict in FAULTS and row.feature in nic.free and row.at == nic.features[row.feature].split()[0]:
            better = "off" if row.at == "on" else "on"
            screen.line(f"  until it is repaired: ethtool -K {nic.device} {row.feature} {better}")
    screen.line("the validation does not hold" if against else "the validation holds", "bold")


def _why(row: FeatureVerdict) -> str:
    """What a verdict rests on most: the last level that has something to say, or the one that speaks against it."""
    if row.verdict in FAULTS and "function" in row.evidence:
        return row.evidence["function"]
    return next((row.evidence[level] for level in ("benefit", "engaged", "function", "negotiation") if level in
                 row.evidence), "")  # fmt: skip


def _outcome(word: str) -> str:
    colour = {"ok": "green", "failed": "red"}.get(word, "dim")
    return f"[{colour}]{word}[/{colour}]"


def _mark(row: FeatureVerdict) -> str:
    colour = "red" if row.verdict in BAD else "green" if row.verdict in GOOD else "yellow"
    return f"[{colour}]{row.verdict}[/{colour}]"


def written(found: Validation, required: Sequence[str], folder: Path) -> tuple[Path, ...]:
    """The document, the page and the acceptance lab's report; their paths."""
    from tuning.offload.junit import junit  # noqa: PLC0415 - jinja and XML, which a start shall not wait for
    from tuning.offload.page import page  # noqa: PLC0415 - as above

    contents = {
        "offload.json": json.dumps(document(found, required), indent=1, ensure_ascii=False) + "\n",
        "offload.html": page(found, required),
        "offload.xml": junit(found, required),
    }
    for name, content in contents.items():
        files.write(folder / name, content)
    return tuple(folder / name for name in contents)


def loaded(path: Path) -> Validation:
    """The validation in a file, or in a folder. Raises WrongInput."""
    file = path / "offload.json" if path.is_dir() else path
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WrongInput(f"{file} is no validation: {getattr(error, 'strerror', None) or 'it is no JSON'}",
                         hint="`nettune offload validate --out FOLDER` writes one") from error  # fmt: skip
    if not isinstance(told, dict):
        raise WrongInput(f"{file} is no validation: it holds no object")
    return read(told, str(file))


def weigher(path: Path) -> Callable[[Run, Advice], Advice]:
    """What the validation in a file makes of a run's advice. Raises WrongInput, also where it is of another NIC."""
    found = loaded(path)

    def weigh(run: Run, advice: Advice) -> Advice:
        if why := another(run.machine, found):
            raise WrongInput(
                f"{path} says nothing of what run {run.run_id} measured: {why}",
                hint="validate the NIC as it was measured: nettune offload validate --inventory FILE",
            )
        return weighed(advice, found)

    return weigh


def compared(screen: Screen, one: Validation, other: Validation) -> None:
    """What differs between two, for people."""
    found = comparison(one, other)
    for key, title in TITLES.items():
        rows = found[key]
        if isinstance(rows, dict) and rows:
            screen.table(title, ("", "one", "other"), [(name, a, b) for name, (a, b) in rows.items()])
        else:
            screen.line(f"{title}: nothing")
