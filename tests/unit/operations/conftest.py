"""Fixtures of the operations' tests."""

from tests.unit.apply.machine import machine
from tests.unit.operations.stage import stage

__all__ = ["machine", "stage"]
