"""A part of a host's state: what tells of a few facts, asked again at a tenth of what all of it costs. Pure."""

from collections.abc import Collection, Mapping, Sequence

from bench.facts import coalescing, cpus, state
from bench.hosts.command import Command, Outcome

_FILES = frozenset({"sysctl", "queue", "napi"})
_NUMBERS = {"ring": "-g", "channel": "-l"}
_OF_LINKS = frozenset({"link", *state.LINK_OPTIONS})
_WITH_LINKS = ("link/", "address/", "neighbour/", "rule/4/", "bond/", "bridge/")  # what state.IDENTITY tells of


def questions(keys: Collection[str]) -> tuple[Command, ...] | None:
    """The Commands that tell of these facts; None where only the whole state does."""
    files, others = [], []
    for key in sorted(keys):
        kind, device = key.split("/", 2)[:2]
        if kind == "sysctl":  # whose own slash is the dot of a device's name
            files.append(state.sysctl_path(key.removeprefix("sysctl/")))
        elif kind in _FILES:
            files.append(state.device_path(key))
        elif kind == "feature":
            others.append(state.features(device))
        elif kind in _NUMBERS:
            others.append(Command(("ethtool", _NUMBERS[kind], device)))
        elif kind == "cpu":
            others.append(cpus.QUESTION)
        elif kind == "coalesce":
            others.append(coalescing.question(device))
        elif kind in _OF_LINKS:
            others.append(state.IDENTITY)
        else:
            return None
    # -H: of one file alone grep would not print the name
    first = (Command(("grep", "-Hs", ".", *files)),) if files else ()
    return (*first, *dict.fromkeys(others))


def renewed(facts: Mapping[str, str], keys: Collection[str], outcomes: Sequence[Outcome]) -> dict[str, str]:
    """`facts` with what the Outcomes of `questions` tell of as it is now; what they no longer tell is gone."""
    told = tuple({prefix for key in keys for prefix in _told_with(key)})
    gone = {key for key in keys if key.partition("/")[0] in _FILES}
    kept = {key: value for key, value in facts.items() if key not in gone and not (told and key.startswith(told))}
    return kept | state.parse(outcomes)


def _told_with(key: str) -> tuple[str, ...]:
    """The prefixes of all facts that come with it in one answer."""
    kind, device = key.split("/", 2)[:2]
    if kind in _FILES:
        return ()
    if kind == "cpu":
        return ("cpu/",)
    return _WITH_LINKS if kind in _OF_LINKS else (f"{kind}/{device}/",)
