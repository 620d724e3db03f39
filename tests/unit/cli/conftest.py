"""Fixtures of the command line's tests."""

from tests.unit.cli.driver import cli
from tests.unit.host.recording import recording

__all__ = ["cli", "recording"]
