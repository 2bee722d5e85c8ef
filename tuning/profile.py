"""Profile: settings with reason and evidence, and the hosts that they are for. YAML that a human may edit.

Data and its reader; profile_text.py writes it. Every key is one row below, from which reader and schema are made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, get_args

from bench import document
from bench.document import Node
from bench.labs.lab import Target
from bench.options import Option, Options, taken
from results.json_schema import Schema, listed
from tuning import fits
from tuning.bearing import acts_on
from tuning.fits import EVERY_HOST, Fits
from tuning.knobs.entry import DISRUPTIONS, Scope
from tuning.knobs.sysctl import sysctl_key
from tuning.knobs.table import check, knob_for

# 1 (2026-11-23): first
# 2 (2026-11-27): whom it is for (fits, acts_on), what is published (status, source, trigger, stated_effect,
#                 not_settable), and of each setting scope, disruption and persist. Everything of 1 is read as before.
# 3 (2026-11-30): the search that it came out of, and that one's runs (search, stages) and sentences (told). All of 2
#                 is read as before.
FORMAT = 3
Status = Literal["nothing", "candidate", "confirmed", "published"]
STATUSES: tuple[str, ...] = get_args(Status)
TARGETS: tuple[Target, ...] = get_args(Target)
NOT_MEASURED = "published, not measured on your host"
NOTHING_STATED = "none stated"
# What a published setting must say in place of evidence.
CITED = ("source", "trigger", "stated_effect")
_PCT_LEAST, _PCT_MOST, _BLOCKS_MOST = -100.0, 1e9, 1_000_000
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class ProfileSetting:
    """One setting: what is set where, and what speaks for it. "" and None: the file does not say."""

    setting: str
    value: str
    target: Target
    was: str = ""
    status: str = ""
    reason: str = ""
    effect_pct: float | None = None
    interval_pct: tuple[float, float] | None = None
    blocks: int | None = None
    run: str = ""
    topology: str = ""
    metric: str = ""
    treatment: str = ""
    source: str = ""
    trigger: str = ""
    stated_effect: str = ""
    scope: str = ""
    disruption: str = ""
    persist: str = ""
    risk: str = ""
    do: str = ""
    undo: str = ""


@dataclass(frozen=True, slots=True)
class NotSettable:
    """What a published profile sets besides, in its own words, that nettune does not turn."""

    words: str
    why: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """What was measured and is not worth keeping."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile file says. `settings` may be none: change nothing is an answer."""

    name: str
    status: Status
    settings: tuple[ProfileSetting, ...]
    about: str = ""
    source: str = ""
    fits: Fits = EVERY_HOST
    acts_on: str = ""
    sentence: str = ""
    run: str = ""
    confirms: str = ""
    search: str = ""
    stages: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    measured_on: Mapping[str, str] | None = None
    transfer: tuple[str, ...] = ()
    guards_not_resolved: tuple[str, ...] = ()
    next_command: str = ""
    not_settable: tuple[NotSettable, ...] = ()
    rejected: tuple[Rejected, ...] = ()

    @property
    def label(self) -> str:
        """Its status in words."""
        return NOT_MEASURED if self.status == "published" else self.status

    @property
    def own_sockets(self) -> tuple[str, ...]:
        """Its settings that act on sockets of the host itself alone."""
        return tuple(dict.fromkeys(each.setting for each in self.settings if acts_on(each.setting) == "own-sockets"))


def _text(about: str = "", shape: Schema | None = None) -> Option[str]:
    schema = dict(shape or {"type": "string"})
    return Option({**schema, **({"description": about} if about else {})}, Node.text, "")


def _word(words: tuple[str, ...], about: str = "") -> Option[str]:
    return Option(
        {"enum": list(words), **({"description": about} if about else {})}, lambda node: node.choice(words), ""
    )


def _texts(about: str = "") -> Option[tuple[str, ...]]:
    schema = {**listed({"type": "string"}), **({"description": about} if about else {})}
    return Option(schema, lambda node: tuple(each.text() for each in node.items()), ())


def _pair(node: Node) -> tuple[float, float]:
    ends = [each.number(_PCT_LEAST, _PCT_MOST, "percent") for each in node.items()]
    if len(ends) != 2 or ends[0] > ends[1]:
        node.wrong("an interval is two numbers, the lower first")
    return ends[0], ends[1]


def _rows(kind: Callable[..., Row], options: Options, required: tuple[str, ...]) -> Option[tuple[Row, ...]]:
    def read(node: Node) -> tuple[Row, ...]:
        return tuple(_row(each, kind, options, required) for each in node.items())

    return Option(listed(_mapping(options, required)), read, ())


def _row(node: Node, kind: Callable[..., Row], options: Options, required: tuple[str, ...]) -> Row:
    members = node.mapping(options)
    for key in required:
        if key not in members:
            node.wrong(f"it has no {key!r}")
    return kind(**taken(members, options))


def _mapping(options: Options, required: tuple[str, ...]) -> Schema:
    properties = {key: each.schema for key, each in options.items()}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


SCALAR: Schema = {"type": ["string", "number", "boolean"]}
_NUMBER: Schema = {"type": "number", "minimum": _PCT_LEAST, "maximum": _PCT_MOST}
_INTERVAL: Schema = {"type": "array", "prefixItems": [_NUMBER, _NUMBER], "items": False, "minItems": 2}
NEEDED = ("setting", "value", "target")
SETTING: Options = {
    "setting": _text("a knob: mtu, a feature of `ethtool -k`, a sysctl below net."),
    "value": Option(SCALAR, Node.setting, ""),
    "target": _word(TARGETS, "guest: the endpoints; node: the hypervisor; path: every device"),
    "was": _text("what stood there", SCALAR),
    "status": _word(STATUSES),
    "reason": _text(),
    "effect_pct": Option(_NUMBER, lambda node: node.number(_PCT_LEAST, _PCT_MOST, "percent"), None),
    "interval_pct": Option(_INTERVAL, _pair, None),
    "blocks": Option(
        {"type": "integer", "minimum": 0, "maximum": _BLOCKS_MOST},
        lambda node: node.integer(0, _BLOCKS_MOST, "blocks"),
        None,
    ),
    "run": _text("the run that its evidence is from"),
    **dict.fromkeys(("topology", "metric", "treatment"), _text()),
    "source": _text("who published it, and where"),
    "trigger": _text("what must be seen before it is worth trying"),
    "stated_effect": _text(f"what its source says that it does, or {NOTHING_STATED!r}"),
    "scope": _word(get_args(Scope), "how far it reaches"),
    "disruption": _word(tuple(DISRUPTIONS), "what setting it costs: d0 nothing … d7 a reboot"),
    "persist": _text("how it is kept over a reboot"),
    **dict.fromkeys(("risk", "do", "undo"), _text()),
}
_STATEMENT: Options = {"words": _text("as its source has them"), "why": _text(), "source": _text()}
_REJECTION: Options = {"what": _text(), "why": _text()}
REQUIRED = ("format", "name", "status", "settings")
TOP: Options = {
    "name": _text(),
    "status": _word(STATUSES),
    "about": _text("what it is for, in a sentence or two"),
    "source": _text("of all its settings that name no other"),
    "fits": Option(fits.SCHEMA, fits.read, EVERY_HOST),
    "acts_on": _text("whose traffic feels it, and whose does not"),
    "sentence": _text(),
    "run": _text(),
    "confirms": _text(),
    "search": _text("the `nettune tune` that it came out of"),
    "stages": _texts("of that search: what for, and its run; a setting names the one that speaks for it"),
    "told": _texts("what that search said of everything that it tried"),
    "measured_on": Option(
        {"type": "object", "additionalProperties": {"type": "string"}},
        lambda node: {key: each.text() for key, each in node.mapping().items()},
        None,
    ),
    "transfer": _texts(),
    "guards_not_resolved": _texts(),
    "next_command": _text(),
    "settings": _rows(ProfileSetting, SETTING, NEEDED),
    "not_settable": _rows(NotSettable, _STATEMENT, ("words",)),
    "rejected": _rows(Rejected, _REJECTION, ("what", "why")),
}


def load(path: Path) -> Profile:
    """The profile in a file. Raises WrongInput naming file, line and key."""
    return parse(document.load(path, f"profile {str(path)!r}"))


def parse(root: Node) -> Profile:
    """The profile in a document. Raises WrongInput naming line, key and the nearest right word."""
    top = root.mapping(("format", *TOP))
    for key in REQUIRED:
        if key not in top:
            root.wrong(f"the profile has no {key!r}")
    if top["format"].integer(1, 1_000_000, "format") > FORMAT:
        top["format"].wrong("this profile is of a newer format", hint="update nettune")
    found = Profile(**taken(top, TOP))
    _settings_can_be(found, top)
    return found


def _settings_can_be(profile: Profile, top: Mapping[str, Node]) -> None:
    """Raise WrongInput for what no knob takes, what stands twice, and what is published without a source."""
    seen: set[tuple[str, str]] = set()
    for each, item in zip(profile.settings, top["settings"].items(), strict=True):
        members = item.mapping()
        problem, hint = check(each.setting, each.value)
        if problem:
            members["value" if knob_for(each.setting) else "setting"].wrong(problem, hint=hint)
        if (place := (sysctl_key(each.setting), each.target)) in seen:
            members["setting"].wrong(f"{each.setting} on {each.target} is set twice")
        seen.add(place)
        if "published" not in (each.status, profile.status if not each.status else ""):
            continue
        inherited = {"source": profile.source}
        for key in CITED:
            if not (getattr(each, key) or inherited.get(key)):
                item.wrong(
                    f"a published setting needs {key!r}", hint=f"{key}: {NOTHING_STATED}" if key == CITED[-1] else ""
                )
        for key in ("effect_pct", "interval_pct", "blocks", "run"):
            if key in members:
                members[key].wrong(
                    "what is published was not measured here", hint="stated_effect has the source's words"
                )
