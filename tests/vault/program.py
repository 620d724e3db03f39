"""The server program that the tests start; without one they are skipped, or fail where it is required."""

from __future__ import annotations

from functools import cache

import pytest
from tests.lab import availability
from tests.lab.errors import LabError
from tests.lab.vault import binary
from tests.lab.vault.binary import Binary


@cache
def program() -> Binary:
    """Skip the test that asks, saying why, if there is none; on CI and with VOLWARD_LAB=require it fails."""
    try:
        return binary.find()
    except LabError as error:
        reason = str(error)
    if availability.is_required():
        pytest.fail(f"a Vault server is required here: {reason}", pytrace=False)
    pytest.skip(reason)
