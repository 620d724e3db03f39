"""prepare: the real planners over what a stage shows; an error is an answer."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.builders import BLANK, PERFECT, SCRATCH, SPEC, unfinished
from tests.unit.operations.stage import Stage

from volward import journal
from volward.errors import DeviceNotFoundError, OperatingSystemError
from volward.model import AnnouncedKeyslot, BlankProbe, Finding, Goal, Observation, Presence, Step, VolumeSpec
from volward.operations import prepare
from volward.operations.prepare import Prepared, Refused

EXT4 = BlankProbe(Presence.PRESENT, (Finding("ext4 file system", 1080),))
REAL = prepare.plan_for


@pytest.fixture(autouse=True)
def _real_planner(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "plan_for", REAL)


def look(spec: VolumeSpec = SPEC, goal: Goal = Goal.PROVISION, **options: Any) -> Prepared | Refused:
    return prepare.prepare(spec, goal, **({"can_hand_over_recovery": False} | options))


def steps(found: Prepared | Refused) -> list[Step]:
    assert isinstance(found, Prepared), found
    return [action.step for action in found.plan.actions]


def test_nothing_to_do(stage: Stage) -> None:
    found = look()
    assert isinstance(found, Prepared)
    assert not found.is_to_be_done
    assert found.plan.nothing_because


@pytest.mark.parametrize(("verb", "counts"), [("provision", True), ("enrol", True), ("recovery", False)])
def test_a_run_that_was_cut_after_its_last_step_is_something_to_do(stage: Stage, verb: str, counts: bool) -> None:
    journal.begin("provision", "another", {})
    assert not look().is_to_be_done  # type: ignore[union-attr]
    journal.begin(verb, "pgdata", {})
    found = look()
    assert isinstance(found, Prepared)
    assert found.is_to_be_done is counts


def test_a_blank_device_is_to_be_formatted(stage: Stage) -> None:
    stage.seen["pgdata"] = BLANK
    found = look(can_hand_over_recovery=True)
    assert Step.FORMAT in steps(found)
    assert Step.ENROL_RECOVERY in steps(found)
    assert isinstance(found, Prepared)
    assert found.is_to_be_done


def test_blankness_is_proven_only_for_provisioning(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    proven: list[bool] = []

    def observe(spec: VolumeSpec, *, prove_blank: bool) -> Observation:
        proven.append(prove_blank)
        return PERFECT

    monkeypatch.setattr(prepare, "observe", observe)
    look()
    look(goal=Goal.OPEN)
    assert proven == [True, False]


def test_a_refusal(stage: Stage) -> None:
    stage.seen["pgdata"] = replace(
        PERFECT, device=None, device_presence=Presence.ABSENT, device_error="it is not there"
    )  # fmt: skip
    found = look()
    assert isinstance(found, Refused)
    assert isinstance(found.error, DeviceNotFoundError)
    assert found.spec is SPEC


def test_an_error_of_the_kernel_is_a_refusal(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def observe(spec: VolumeSpec, **_: object) -> Observation:
        raise OSError(13, "Permission denied", "/proc/1/mountinfo")

    monkeypatch.setattr(prepare, "observe", observe)
    found = look()
    assert isinstance(found, Refused)
    assert isinstance(found.error, OperatingSystemError)
    assert found.error.what == "Looking at pgdata stopped: /proc/1/mountinfo: Permission denied."


def test_overwriting_is_planned_only_where_it_is_asked_for(stage: Stage) -> None:
    stage.seen["pgdata"] = replace(BLANK, probe=EXT4)
    assert isinstance(look(), Refused)
    assert Step.WIPE in steps(look(overwrite=True))


def test_scratch_has_a_plan_of_its_own(stage: Stage) -> None:
    stage.seen["pgdata"] = BLANK
    assert Step.CLAIM_SCRATCH in steps(look(SCRATCH))


def test_what_an_enrolment_announced_is_seen(stage: Stage) -> None:
    keyslot = AnnouncedKeyslot(3, "argon2id", 4, 65535, 4)
    operation = journal.begin("enrol", "pgdata", {})
    operation.begin_step("enrol-key:prompt")
    operation.announce("enrol-key:prompt", keyslot)
    found = look()
    assert isinstance(found, Prepared)
    assert found.seen.announced == (keyslot,)


def test_the_journal_of_the_plan_is_what_was_seen(stage: Stage) -> None:
    stage.seen["pgdata"] = replace(BLANK, unfinished=unfinished(("pin",)))
    assert Step.FORMAT in steps(look())
