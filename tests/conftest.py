"""What every tier shares: no example of a property is timed, since a busy machine makes any of them slow."""

from hypothesis import settings

settings.register_profile("nettune", deadline=None)
settings.load_profile("nettune")
