"""Which kernel modules go where, from modules.dep (depmod(8)): pure functions of its text."""

from collections.abc import Iterable, Mapping

_SUFFIXES = (".ko", ".ko.xz", ".ko.zst", ".ko.gz")  # Debian compresses them from 13 on


def dependencies(modules_dep: str) -> Mapping[str, tuple[str, ...]]:
    """Path of each module, relative to /lib/modules/RELEASE, and the paths of all that it needs, nearest first."""
    needs = {}
    for line in modules_dep.splitlines():
        path, colon, rest = line.partition(":")
        if colon:
            needs[path] = tuple(rest.split())
    return needs


def name(path: str) -> str:
    """A module's name from its path: the kernel knows no dash."""
    file = path.rpartition("/")[2]
    for suffix in _SUFFIXES:
        file = file.removesuffix(suffix)
    return file.replace("-", "_")


def load_order(wanted: Iterable[str], needs: Mapping[str, tuple[str, ...]], builtin: Iterable[str]) -> tuple[str, ...]:
    """Paths in an order in which insmod takes them: each after all it needs. Built-in ones are there already.

    Raises KeyError with the name of a module that is neither a file nor built in.
    """
    paths = {name(path): path for path in needs}
    inside = {name(path) for path in builtin}
    ordered: dict[str, None] = {}
    for each in wanted:
        if each in inside:
            continue
        path = paths[each]
        # modules.dep lists the nearest first, so that modprobe goes through it backwards
        for module in (*reversed(needs[path]), path):
            ordered.setdefault(module)
    return tuple(ordered)


def kept(prefixes: tuple[str, ...], needs: Mapping[str, tuple[str, ...]]) -> frozenset[str]:
    """The modules below `prefixes` (of RELEASE/kernel/) and everything that those need."""
    below = tuple(f"kernel/{prefix}" for prefix in prefixes)
    chosen = [path for path in needs if path.startswith(below)]
    return frozenset(chosen).union(*(needs[path] for path in chosen))
