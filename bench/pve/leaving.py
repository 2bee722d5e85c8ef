"""The end of a block in which things were made under a lease: all is removed, or the lease stays and it is said."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from bench.labs.lease import Lease
from results.errors import NotAble


@contextlib.contextmanager
def removing(held: Lease, remove: Callable[[], Sequence[str]], hint: str) -> Iterator[None]:
    """A block after which `remove` is called, which tells in words what it could not remove.

    Where that is something the lease stays: an error of the block is told of it, else NotAble is raised.
    """
    try:
        yield
    except BaseException as error:
        if said := _left(held, remove):
            error.add_note(f"{said}; {hint}")
        raise
    if said := _left(held, remove):
        raise NotAble(said, hint=hint)


def _left(held: Lease, remove: Callable[[], Sequence[str]]) -> str:
    left = remove()
    if not left:
        held.release()
    return f"not removed: {'; '.join(left)}" if left else ""
