"""A SIGKILL at every step of the first apply: the next one finishes, and nothing was lost.

The cuts of one kind of power are in one file, because they share hosts and the file is one process's.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.faults import random_cuts
from tests.faults.checks import check_cut, check_finished, check_random
from tests.faults.cuts import Cut, Power, params
from tests.faults.session import Cuts


@pytest.mark.lab
@pytest.mark.parametrize("cut", params(Power.KILL))
def test_the_first_apply_is_killed_and_the_next_one_finishes(cuts: Cuts, cut: Cut) -> None:
    outcome = cuts.outcome(cut)
    assert outcome.reached == "cut"
    check_cut(outcome)
    check_finished(outcome)


@pytest.mark.lab
@pytest.mark.parametrize("cut", random_cuts.params(Power.KILL))
def test_a_kill_at_a_random_moment(cuts: Cuts, cut: Cut, record_property: Callable[[str, object], None]) -> None:
    check_random(cuts.outcome(cut), record_property)
