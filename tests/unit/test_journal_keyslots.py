"""Keyslots in the journal: what an enrolment was about to write, until it is known to be done."""

from pathlib import Path

import pytest

from volward import journal
from volward.errors import JournalError
from volward.journal import Operation
from volward.model import AnnouncedKeyslot

STEP = "enrol-recovery:recovery"
KEYSLOT = AnnouncedKeyslot(2, "argon2id", 4, 65531, 4)
TPM_KEYSLOT = AnnouncedKeyslot(1, "pbkdf2", 1000, 0, 0, "sha512")


def _operation(directory: Path) -> Operation:
    operation = journal.begin(journal.RECOVERY, "pg-data", {}, directory=directory)
    operation.begin_step(STEP)
    operation.announce(STEP, KEYSLOT)
    return operation


def test_an_announced_keyslot_is_read_back_and_the_step_is_still_the_last_one(tmp_path: Path) -> None:
    _operation(tmp_path)

    (record,) = journal.unfinished("pg-data", directory=tmp_path)

    assert record.announced == (KEYSLOT,)
    assert record.step_begun == STEP
    assert journal.announced("pg-data", directory=tmp_path) == (KEYSLOT,)
    assert journal.announced("data", directory=tmp_path) == ()


def test_a_step_that_is_done_has_nothing_to_announce_any_more(tmp_path: Path) -> None:
    operation = _operation(tmp_path)
    operation.announce("enrol-tpm2:tpm2", TPM_KEYSLOT)
    operation.end_step(STEP)

    assert journal.read(operation.path).announced == (TPM_KEYSLOT,)


def test_every_run_of_a_step_is_remembered(tmp_path: Path) -> None:
    operation = _operation(tmp_path)
    operation.begin_step(STEP)
    operation.announce(STEP, TPM_KEYSLOT)

    assert journal.read(operation.path).announced == (KEYSLOT, TPM_KEYSLOT)


def test_an_operation_that_ended_announces_nothing(tmp_path: Path) -> None:
    _operation(tmp_path).end("aborted")

    assert journal.announced("pg-data", directory=tmp_path) == ()


@pytest.mark.parametrize("wrong", [{"number": "2"}, {"memory_kib": None}, {"kdf": 5}])
def test_a_keyslot_that_is_not_described_in_full_is_damage(tmp_path: Path, wrong: dict[str, object]) -> None:
    operation = _operation(tmp_path)
    good = {"kind": "keyslot", "step": STEP, "number": 3, "kdf": "argon2id", "iterations": 4, "memory_kib": 1}
    good |= {"lanes": 4, "kdf_hash": ""}
    with operation.path.open("ab") as file:
        file.write(journal._line(good | wrong))

    with pytest.raises(JournalError, match="not described in full"):
        journal.read(operation.path)


def test_finished_and_unfinished_operations_are_listed_in_their_order(tmp_path: Path) -> None:
    first = journal.begin(journal.PROVISION, "z", {}, directory=tmp_path)
    second = journal.begin(journal.ENROL, "a", {}, directory=tmp_path)
    first.end("done")

    assert [record.operation for record in journal.every(directory=tmp_path)] == [first.identifier, second.identifier]
    assert [record.outcome for record in journal.every(directory=tmp_path)] == ["done", None]
    assert journal.every(directory=tmp_path / "none") == ()


def test_a_journal_that_is_no_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(JournalError):
        journal.every(directory=tmp_path / "file")
