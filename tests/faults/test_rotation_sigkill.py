"""A rotation is killed at every step: the volume opens, and resumed, run again or given up nothing is orphaned.

The cuts of one kind of power are in one file, because they share a host and the file is one process's.
"""

from __future__ import annotations

import pytest
from tests.faults.cuts import Power
from tests.faults.rotation_batch import Rotations
from tests.faults.rotation_checks import check
from tests.faults.rotation_cuts import RotationCut, params


@pytest.mark.lab
@pytest.mark.parametrize("cut", params(Power.KILL))
def test_a_rotation_is_killed(rotations: Rotations, cut: RotationCut) -> None:
    check(rotations.outcome(cut))
