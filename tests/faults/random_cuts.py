"""Cuts at random moments inside each step of the first apply, drawn anew for each run."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
from tests.faults.cuts import STEPS, Cut, Kind, Power

if TYPE_CHECKING:
    from _pytest.mark.structures import ParameterSet

ROUNDS = int(os.environ.get("VOLWARD_ROUNDS", "3"))
# How long a step takes at most on an idle lab host; later kills would hit the next one, which has its own rows.
LONGEST_MS = {"enrol-recovery": 8000, "enrol-tpm2": 3000, "create-key": 1500, "format": 2000, "write-token": 1500}
# One for all processes of a run: each has to find the same tests. pytest-xdist gives them the run's id.
RUN = int(os.environ.get("PYTEST_XDIST_TESTRUNUID", "0"), 16) or random.randrange(2**32)
SEED = int(os.environ.get("VOLWARD_SEED", RUN % 2**32))


def params(power: Power) -> list[ParameterSet]:
    """Return the random cuts of one kind for pytest.mark.parametrize; only `--full` has them."""
    return [pytest.param(cut, id=cut.name, marks=pytest.mark.full) for cut in _CUTS if cut.power is power]


def _drawn() -> tuple[Cut, ...]:
    chance = random.Random(SEED)
    return tuple(
        Cut(power, kind, step, f"after {chance.randrange(LONGEST_MS.get(step.partition(':')[0], 1000))} ms")
        for _ in range(ROUNDS)
        for power in Power
        for kind in Kind
        for step in STEPS[kind]
    )


_CUTS = _drawn()
