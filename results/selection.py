"""Which runs are meant: ids, their beginnings, `last`, `last:3`, `label:main`, `plan:quick`, joined by commas."""

import difflib
from collections.abc import Iterable, Sequence

from results.errors import WrongInput
from results.store import Listed

HINT = "a run's id or its beginning, last:N, label:NAME or plan:NAME; several with commas between"


def chosen(words: str, listed: Sequence[Listed], shown: str) -> tuple[Listed, ...]:
    """The runs that `words` name among `listed` (newest first), oldest first, each once. Raises WrongInput."""
    found: dict[str, Listed] = {}
    for word in (part.strip() for part in words.split(",")):
        if not word:
            raise WrongInput(f"{words!r} names a run with an empty word", hint=HINT)
        found |= {each.run_id: each for each in _named(word, listed, shown)}
    return tuple(sorted(found.values(), key=lambda each: (each.started_at, each.run_id)))


def of_plan(plan: str, label: str, listed: Sequence[Listed], shown: str) -> list[Listed]:
    """The runs of a plan, with that label where one is given, in the order of `listed`. Raises WrongInput for none."""
    runs = _named(f"plan:{plan}", listed, shown)
    found = [each for each in runs if not label or each.label == label]
    if not found:
        hint = nearest(label, (each.label for each in runs if each.label)) or "`nettune run --label` gives one"
        raise WrongInput(f"{shown} has no run of {plan!r} with the label {label!r}", hint=hint)
    return found


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint that asks "did you mean …?", or what there is to choose from."""
    names = sorted(set(known))
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    more = ", …" if len(names) > 12 else ""
    return f"there is {', '.join(names[:12])}{more}" if names else ""


def _named(word: str, listed: Sequence[Listed], shown: str) -> list[Listed]:
    kind, colon, name = word.partition(":")
    match kind if colon else "":
        case "label":
            found = [each for each in listed if each.label == name]
            hint = nearest(name, (each.label for each in listed if each.label)) or "`nettune run --label` gives one"
        case "plan":
            found = [each for each in listed if each.plan_name == name]
            hint = nearest(name, (each.plan_name for each in listed))
        case "last":
            found, hint = _last(name, listed, shown), ""
        case "":
            found, hint = _by_id(word, listed, shown), "`nettune runs` lists them"
        case _:
            raise WrongInput(f"{word!r} is no way to name runs", hint=HINT)
    if not found:
        raise WrongInput(f"{shown} has no run {word!r}", hint=hint)
    return found


def _last(name: str, listed: Sequence[Listed], shown: str) -> list[Listed]:
    count = int(name) if name.isdecimal() and len(name) < 6 else 0
    if not count:
        raise WrongInput(f"'last:{name}': {name!r} is no number of runs", hint="last:3 is the three newest")
    if len(listed) < count:
        raise WrongInput(f"'last:{name}': {shown} has {len(listed)} runs", hint="`nettune runs` lists them")
    return list(listed[:count])


def _by_id(word: str, listed: Sequence[Listed], shown: str) -> list[Listed]:
    if word == "last":
        return list(listed[:1])
    found = [each for each in listed if each.run_id == word] or [
        each for each in listed if each.run_id.startswith(word)
    ]
    if len(found) > 1:
        raise WrongInput(f"{shown} has more than one run {word!r}", hint="`nettune runs` lists them")
    return found
