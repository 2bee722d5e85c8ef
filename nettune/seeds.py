"""Seeds that nobody gave."""

import random
import secrets


def dealt() -> int:
    """A new seed, small enough to be typed again."""
    return random.Random(secrets.randbits(64)).randrange(1, 1_000_000)  # noqa: S311 - an experiment, not a key
