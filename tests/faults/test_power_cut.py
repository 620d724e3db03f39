"""A power cut at every step of the first apply: the next one finishes, and nothing was lost.

The cuts of one kind of power are in one file, because they share hosts and the file is one process's.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.faults import random_cuts
from tests.faults.batch import Batch
from tests.faults.checks import check_cut, check_finished, check_random
from tests.faults.cuts import Cut, Kind, Power, params
from tests.faults.session import Cuts
from tests.lab.host import Host

COLD = (
    Cut(Power.CUT, Kind.BLOCK, "create-key:credential", "acted"),
    Cut(Power.CUT, Kind.BLOCK, "format", "without-keyslot"),
    Cut(Power.CUT, Kind.BLOCK, "enrol-recovery:recovery", "without-token"),
    Cut(Power.CUT, Kind.FILE, "create-file", "acted"),
)


@pytest.mark.lab
@pytest.mark.parametrize("cut", params(Power.CUT))
def test_the_first_apply_loses_its_power_and_the_next_one_finishes(cuts: Cuts, cut: Cut) -> None:
    outcome = cuts.outcome(cut)
    assert outcome.reached == "cut"
    check_cut(outcome)
    check_finished(outcome)


@pytest.mark.lab
@pytest.mark.parametrize("cut", random_cuts.params(Power.CUT))
def test_a_power_cut_at_a_random_moment(cuts: Cuts, cut: Cut, record_property: Callable[[str, object], None]) -> None:
    check_random(cuts.outcome(cut), record_property)


@pytest.mark.lab
@pytest.mark.full
def test_the_same_root_disk_boots_after_the_cut_and_the_next_apply_finishes(host: Host) -> None:
    """No restore, which would bring an older root disk back: a real boot, with what it starts."""
    batch = Batch(host, COLD, cold=True)

    batch.run()

    assert [outcome.reached for outcome in batch.outcomes] == ["cut"] * len(COLD)
    for outcome in batch.outcomes:
        check_cut(outcome)
        check_finished(outcome)
