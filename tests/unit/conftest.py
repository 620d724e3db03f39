"""Settings of all unit tests."""

from hypothesis import settings

# A deadline for one example measures the load of the machine, and not the code.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")
