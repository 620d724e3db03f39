"""One more recovery key: journaled, and no keyslot is left that nobody has a key to."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.unit.builders import HEADER, OTHER_UUID, PERFECT, SPEC
from tests.unit.operations.stage import Stage

from volward import journal, lock
from volward.apply import Work
from volward.errors import (
    BusyError,
    ConfirmationError,
    DamagedHeaderError,
    DeviceUnknownError,
    NoOpenerError,
    OperatingSystemError,
    UnknownOperationError,
    VolwardError,
)
from volward.model import AnnouncedKeyslot, Keyslot, Observation
from volward.operations import enrolment
from volward.secret import SecretBytes

ENROL = "pgdata enrol-recovery:recovery"
ANNOUNCED = AnnouncedKeyslot(2, "argon2id", 4, 65531, 4)
ORPHAN = Keyslot(2, "argon2id", iterations=4, memory_kib=65531, lanes=4, key_bits=512, priority=1)
WITH_ORPHAN = replace(PERFECT, header=replace(HEADER, keyslots=(*HEADER.keyslots, ORPHAN)))


class Owner:
    def hand_over(self, volume: str, recovery_key: SecretBytes) -> None:
        raise AssertionError("the action is a script here")


def enrol() -> tuple[str, ...]:
    return enrolment.enrol_recovery_key(SPEC, Owner(), deadline_seconds=3.0)


def outcomes() -> list[tuple[str, str | None]]:
    return [(record.verb, record.outcome) for record in journal.every()]


def announce(work: Work) -> None:
    work.announce(ANNOUNCED)


def test_a_key_is_enrolled(stage: Stage) -> None:
    stage.said_of_backup = ("The disk is full.",)
    assert enrol() == ("The disk is full.",)
    assert stage.log == [ENROL]
    assert stage.backed_up == ["pgdata"]
    work = stage.works["pgdata"]
    assert isinstance(work.recovery, Owner)
    assert work.deadline_seconds == 3.0
    assert outcomes() == [("recovery", "done")]


def test_one_that_reached_nobody_ends_the_operation(stage: Stage) -> None:
    stage.answers[ENROL] = ConfirmationError("Not typed back.", resolution="Again.")
    with pytest.raises(ConfirmationError):
        enrol()
    assert outcomes() == [("recovery", "nothing was enrolled")]


def test_one_that_left_a_keyslot_stays_to_be_cleared(stage: Stage) -> None:
    def announce_and_fail(work: Work) -> None:
        work.announce(ANNOUNCED)
        raise BusyError("In use.", resolution="Wait.")

    stage.answers[ENROL] = announce_and_fail
    with pytest.raises(BusyError):
        enrol()
    assert outcomes() == [("recovery", None)]
    assert journal.announced("pgdata") == (ANNOUNCED,)


@pytest.fixture
def cut(stage: Stage) -> Iterator[journal.Record]:
    """An enrolment that was cut when its keyslot was there and its token was not."""
    operation = journal.begin(journal.RECOVERY, "pgdata", {})
    operation.begin_step("enrol-recovery:recovery")
    operation.announce("enrol-recovery:recovery", ANNOUNCED)
    stage.seen["pgdata"] = WITH_ORPHAN
    yield journal.unfinished("pgdata")[0]


def test_the_next_run_clears_the_keyslot_first_and_goes_on(stage: Stage, cut: journal.Record) -> None:
    enrol()
    assert stage.log == ["pgdata remove-keyslot:2", ENROL]
    assert outcomes() == [("recovery", "done")]


def test_giving_up_clears_the_keyslot(stage: Stage, cut: journal.Record) -> None:
    assert enrolment.give_up(SPEC, cut, deadline_seconds=3.0) == (2,)
    assert stage.log == ["pgdata remove-keyslot:2"]
    assert outcomes() == [("recovery", "aborted")]


def test_giving_up_reads_the_journal_under_the_lock(stage: Stage, cut: journal.Record) -> None:
    enrol()
    del stage.log[:]
    with pytest.raises(UnknownOperationError):
        enrolment.give_up(SPEC, cut, deadline_seconds=3.0)
    assert stage.log == []


def test_giving_up_without_another_key_changes_nothing(stage: Stage, cut: journal.Record) -> None:
    stage.answers["pgdata remove-keyslot:2"] = NoOpenerError("Nobody.", resolution="Wait.")
    with pytest.raises(NoOpenerError):
        enrolment.give_up(SPEC, cut, deadline_seconds=3.0)
    assert outcomes() == [("recovery", None)]


def test_a_keyslot_of_others_is_none_of_ours(stage: Stage, cut: journal.Record) -> None:
    other = replace(ORPHAN, memory_kib=1048576)
    stage.seen["pgdata"] = replace(PERFECT, header=replace(HEADER, keyslots=(*HEADER.keyslots, other)))
    assert enrolment.give_up(SPEC, cut, deadline_seconds=3.0) == ()
    assert stage.log == []


@pytest.mark.parametrize(
    ("seen", "error"),
    [
        (replace(PERFECT, header=None, header_error="zeros"), DamagedHeaderError),
        (replace(PERFECT, header=replace(HEADER, uuid=OTHER_UUID)), DeviceUnknownError),
    ],
)
def test_a_device_that_is_not_the_volume(stage: Stage, seen: Observation, error: type[VolwardError]) -> None:
    stage.seen["pgdata"] = seen
    with pytest.raises(error):
        enrol()
    assert outcomes() == []


def test_not_while_another_volward_works_on_it(stage: Stage) -> None:
    with lock.held("pgdata"), pytest.raises(BusyError):
        enrol()


def test_an_error_of_the_kernel_is_no_bug(stage: Stage) -> None:
    stage.answers[ENROL] = OSError(30, "Read-only file system")
    with pytest.raises(OperatingSystemError, match="Enrolling a recovery key for pgdata stopped"):
        enrol()
