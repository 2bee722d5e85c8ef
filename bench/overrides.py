"""What `--set` replaces in a plan's document before it is read."""

from collections.abc import Sequence

from bench import document
from bench.document import Node
from results.errors import WrongInput


def overridden(root: Node, overrides: Sequence[str], keys: Sequence[str]) -> Node:
    """The document with each `key=value` in its place; a probe is found by its name or kind. Raises WrongInput."""
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals or not key:
            raise WrongInput(f"--set {override}: write key=value", hint="for example --set tcp.streams=4")
        members = root.mapping()
        steps = key.split(".")
        if steps[0] not in keys and "probes" in members:
            _known_probe(steps[0], members["probes"], f"--set {override}", keys)
            steps = ["probes", *steps]
        root = document.replaced(root, steps, value or '""', f"--set {override}")
    return root


def _known_probe(word: str, probes: Node, place: str, keys: Sequence[str]) -> None:
    """Raise WrongInput unless a probe has that name or kind; a slip in a key of the plan ends here too."""
    rows = [each.value for each in probes.items() if isinstance(each.value, dict)]
    names = {str(node.value) for row in rows for key, node in row.items() if key in {"name", "kind"}}
    if word not in names:
        hint = document.nearest(word, (*keys, *sorted(names))) or f"keys: {', '.join(keys)}; probes: {', '.join(names)}"
        raise WrongInput(f"{place}: the plan has no key and no probe {word!r}", hint=hint)
