"""A SIGKILL at every step of the first apply: the next one finishes, and nothing was lost."""

from __future__ import annotations

import pytest
from tests.faults.checks import check_cut, check_finished
from tests.faults.cuts import Cut, Power, params
from tests.faults.session import Cuts


@pytest.mark.lab
@pytest.mark.parametrize("cut", params(Power.KILL))
def test_the_first_apply_is_killed_and_the_next_one_finishes(cuts: Cuts, cut: Cut) -> None:
    outcome = cuts.outcome(cut)
    assert outcome.reached == "cut"
    check_cut(outcome)
    check_finished(outcome)
