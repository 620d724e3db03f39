"""The long matrix: kills at random moments inside each step, and power cuts at random moments of many applies.

The run that has them writes docs/reference/matrix.md (conftest.py). A volume counts as recovered when the next apply
finishes it, and as told when that apply names what stands in the way and what to do.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest
from tests.faults import matrix
from tests.faults.checks import check_cut, check_finished, check_kept
from tests.faults.cuts import STEPS, Cut, Kind, Power, param
from tests.faults.session import Cuts

ROUNDS = int(os.environ.get("VOLWARD_ROUNDS", "3"))
# How long a step takes at most on an idle lab host; later kills would hit the next one, which has its own rows.
LONGEST_MS = {"enrol-recovery": 8000, "enrol-tpm2": 3000, "create-key": 1500, "format": 2000, "write-token": 1500}
# One for all processes of a run: each has to find the same tests. pytest-xdist gives them the run's id.
RUN = int(os.environ.get("PYTEST_XDIST_TESTRUNUID", "0"), 16) or random.randrange(2**32)
SEED = int(os.environ.get("VOLWARD_SEED", RUN % 2**32))


def _random_cuts() -> tuple[Cut, ...]:
    chance = random.Random(SEED)
    return tuple(
        Cut(power, kind, step, f"after {chance.randrange(LONGEST_MS.get(step.partition(':')[0], 1000))} ms")
        for _ in range(ROUNDS)
        for power in Power
        for kind in Kind
        for step in STEPS[kind]
    )


@pytest.mark.lab
@pytest.mark.parametrize("cut", [param(cut, full=True) for cut in _random_cuts()])
def test_a_cut_at_a_random_moment(cuts: Cuts, cut: Cut, record_property: Callable[[str, object], None]) -> None:
    record_property(matrix.SEED, SEED)
    outcome = cuts.outcome(cut)
    assert outcome.reached == "cut" or outcome.reached.startswith("status 3"), outcome.reached
    if outcome.reached == "cut":
        check_cut(outcome)
    assert outcome.apply is not None
    if f"{outcome.volume}: provisioned, open and mounted" in outcome.apply.stdout:
        check_finished(outcome)
    else:
        said = matrix.said_of(outcome.volume, outcome.apply.stderr)
        assert said and "VW09" not in said, outcome.apply
        check_kept(outcome)
        record_property(matrix.TOLD, said)
