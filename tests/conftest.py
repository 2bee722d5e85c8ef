"""What all tiers share: how hypothesis is used."""

from hypothesis import settings

# No deadline: no test is timed, and on a busy machine the first example waits for an import.
settings.register_profile("nettune", deadline=None, max_examples=60)
settings.load_profile("nettune")
