"""The warning about a volume that nobody could open by typing."""

from dataclasses import replace

import pytest
from tests.unit.builders import PERFECT, SPEC

from volward.plan.recovery import recovery_warnings


@pytest.mark.parametrize(
    ("confirmed", "planned", "warned"), [(True, False, False), (False, True, False), (False, False, True)]
)
def test_a_volume_without_a_recovery_key_is_told_of(confirmed: bool, planned: bool, warned: bool) -> None:
    warnings = recovery_warnings(SPEC, replace(PERFECT, recovery_confirmed=confirmed), planned=planned)

    assert ["volward recovery enrol pgdata" in text for text in warnings] == [True] * warned
