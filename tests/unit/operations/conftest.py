"""Fixtures of the operations' tests."""

from tests.unit.apply.machine import machine
from tests.unit.operations.stage import stage
from tests.unit.operations.system_root import system

__all__ = ["machine", "stage", "system"]
