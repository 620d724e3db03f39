"""Settings of all unit tests."""

import pytest
from hypothesis import settings

from volward.keys import recovery_pair

# A deadline for one example measures the load of the machine, and not the code.
settings.register_profile("unit", deadline=None)
settings.load_profile("unit")


@pytest.fixture(autouse=True)
def cheap_recovery_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretch recovery keys next to nothing: what they cost is not what the tests are about."""
    monkeypatch.setattr(recovery_pair, "_COST", 2**4)
