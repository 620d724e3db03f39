"""Fixtures of the tests of apply."""

from tests.unit.apply.machine import machine

__all__ = ["machine"]
