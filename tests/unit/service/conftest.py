"""Fixtures of the daemon's tests."""

from tests.unit.host.recording import recording
from tests.unit.service.namespace import namespace
from tests.unit.service.stage import stage

__all__ = ["namespace", "recording", "stage"]
