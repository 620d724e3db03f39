"""Fixtures of the host tests."""

from tests.unit.host.recording import recording

__all__ = ["recording"]
