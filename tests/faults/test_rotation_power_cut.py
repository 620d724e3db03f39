"""A power cut at every step of a rotation: the volume opens, and resumed, run again or given up nothing is orphaned.

The cuts of one kind of power are in one file, because they share a host and the file is one process's.
"""

from __future__ import annotations

import pytest
from tests.faults.cuts import Power
from tests.faults.rotation_batch import Rotations
from tests.faults.rotation_checks import check
from tests.faults.rotation_cuts import RotationCut, params


@pytest.mark.lab
@pytest.mark.parametrize("cut", params(Power.CUT))
def test_a_rotation_loses_its_power(rotations: Rotations, cut: RotationCut) -> None:
    check(rotations.outcome(cut))
