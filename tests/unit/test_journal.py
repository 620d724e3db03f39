"""The write-ahead record: what a power cut, a full disk or a flipped bit may do to it, and what it says then."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.builders import FILE_SYSTEM_UUID, IDENTITY, UUID

from volward import durable, journal
from volward.errors import JournalError, NoSpaceError
from volward.journal import Operation, Record

FACTS = journal.provisioning_facts(IDENTITY, UUID, FILE_SYSTEM_UUID)


def _operation(directory: Path, *, volume: str = "pgdata", verb: str = journal.PROVISION) -> Operation:
    return journal.begin(verb, volume, FACTS, directory=directory)


def _write_steps(operation: Operation, steps: list[str]) -> None:
    for step in steps:
        operation.begin_step(step)
        operation.end_step(step)


def _key(record: Record) -> tuple[object, ...]:
    return record.steps_begun, record.steps_done, record.step_begun, record.outcome


def test_a_step_is_begun_then_done(tmp_path: Path) -> None:
    operation = _operation(tmp_path)
    operation.begin_step("pin")
    begun = journal.read(operation.path)
    operation.end_step("pin")
    done = journal.read(operation.path)

    assert (begun.step_begun, begun.steps_done) == ("pin", ())
    assert (done.step_begun, done.steps_done) == (None, ("pin",))
    assert (done.operation, done.verb, done.volume) == (operation.identifier, "provision", "pgdata")


def test_a_provisioning_comes_back_as_plan_reads_it(tmp_path: Path) -> None:
    operation = _operation(tmp_path)
    operation.begin_step("format")

    found = journal.unfinished_provisioning("pgdata", directory=tmp_path)

    assert found is not None
    assert (found.identity, found.luks_uuid, found.file_system_uuid) == (IDENTITY, UUID, FILE_SYSTEM_UUID)
    assert found.format_was_cut


def test_a_cut_format_is_remembered_through_later_runs(tmp_path: Path) -> None:
    """A second run takes earlier steps again, and may be cut there: the format is still half done."""
    operation = _operation(tmp_path)
    _write_steps(operation, ["create-key:credential", "pin"])
    operation.begin_step("format")
    again = journal.resume(journal.read(operation.path), directory=tmp_path)
    _write_steps(again, ["create-key:credential"])
    again.begin_step("pin")

    found = journal.unfinished_provisioning("pgdata", directory=tmp_path)

    assert found is not None
    assert found.format_was_cut
    assert found.step_begun == "pin"


def test_an_ended_operation_is_put_away(tmp_path: Path) -> None:
    operation = _operation(tmp_path)
    operation.end("done")

    assert journal.unfinished("pgdata", directory=tmp_path) == ()
    assert [path.suffix for path in tmp_path.iterdir()] == [".done"]
    assert journal.read(next(tmp_path.iterdir())).outcome == "done"


def test_an_operation_that_ended_before_its_file_was_put_away_is_not_unfinished(tmp_path: Path) -> None:
    operation = _operation(tmp_path)
    operation.end("done")
    operation.path.with_suffix(".done").rename(operation.path)

    assert journal.unfinished(directory=tmp_path) == ()


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.sampled_from(["create-key:credential", "pin", "format", "ä"]), min_size=1, max_size=3))
def test_a_file_cut_at_any_byte_says_what_was_durable_before(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    operation = _operation(tmp_path_factory.mktemp("journal"))
    begin_bytes = operation.path.stat().st_size
    states = [_key(journal.read(operation.path))]
    ends = [begin_bytes]
    for step in steps:
        for write in (operation.begin_step, operation.end_step):
            write(step)
            states.append(_key(journal.read(operation.path)))
            ends.append(operation.path.stat().st_size)
    whole = operation.path.read_bytes()

    for cut in range(begin_bytes, len(whole) + 1):
        operation.path.write_bytes(whole[:cut])
        expected = states[max(i for i, end in enumerate(ends) if end <= cut)]
        assert _key(journal.read(operation.path)) == expected


def test_a_record_can_be_written_after_a_line_cut_at_any_byte(tmp_path: Path) -> None:
    operation = _operation(tmp_path)
    operation.begin_step("pin")
    before = operation.path.read_bytes()
    operation.end_step("pin")
    whole = operation.path.read_bytes()

    for cut in range(len(before), len(whole)):
        operation.path.write_bytes(whole[:cut])
        operation.begin_step("format")
        assert _key(journal.read(operation.path)) == (("pin", "format"), (), "format", None)


@pytest.mark.parametrize("torn", [b"\x00" * 60, b"\x00" * 60 + b"\n", b"0123 {not json\n", b"\xff\xfe\n"])
def test_a_tail_whose_bytes_never_reached_the_disk_is_ignored(tmp_path: Path, torn: bytes) -> None:
    operation = _operation(tmp_path)
    operation.begin_step("format")
    with operation.path.open("ab") as file:
        file.write(torn)

    assert journal.read(operation.path).step_begun == "format"
    operation.end_step("format")
    assert journal.read(operation.path).steps_done == ("format",)


def test_a_flipped_byte_before_the_last_line_is_never_overlooked(tmp_path: Path) -> None:
    operation = _operation(tmp_path)
    _write_steps(operation, ["format"])
    operation.begin_step("open")
    whole = operation.path.read_bytes()
    last_line = whole.rindex(b"\n", 0, -1) + 1

    for position in range(last_line):
        for flip in (0x80, whole[position] ^ 0x0A or 0x02):  # not ASCII any more; a line feed gained or lost
            damaged = bytearray(whole)
            damaged[position] ^= flip
            operation.path.write_bytes(damaged)
            with pytest.raises(JournalError):
                journal.read(operation.path)
    with pytest.raises(JournalError):
        operation.begin_step("make-file-system")
    assert operation.path.read_bytes() == damaged


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no line feed", id="no line"),
        pytest.param(journal._line({"kind": "done", "step": "format"}), id="no begin"),
    ],
)
def test_a_file_without_its_beginning_is_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "provision-pgdata-00000000.journal"
    path.write_bytes(content)

    with pytest.raises(JournalError, match="begin"):
        journal.read(path)


def test_damage_to_one_volumes_journal_does_not_keep_another_closed(tmp_path: Path) -> None:
    (tmp_path / "provision-pg-data-00000000.journal").write_bytes(b"damaged")

    assert journal.unfinished("data", directory=tmp_path) == ()
    assert journal.unfinished("pg", directory=tmp_path) == ()
    with pytest.raises(JournalError):
        journal.unfinished("pg-data", directory=tmp_path)
    with pytest.raises(JournalError):
        journal.unfinished(directory=tmp_path)


def test_unfinished_operations_come_oldest_first_and_by_volume(tmp_path: Path) -> None:
    first, second = _operation(tmp_path), _operation(tmp_path, verb="rotate")
    other = _operation(tmp_path, volume="redis")

    assert [r.operation for r in journal.unfinished("pgdata", directory=tmp_path)] == [
        first.identifier,
        second.identifier,
    ]
    assert [r.operation for r in journal.unfinished("redis", directory=tmp_path)] == [other.identifier]
    assert len(journal.unfinished(directory=tmp_path)) == 3
    second_only = journal.unfinished("pgdata", directory=tmp_path)[1]
    assert second_only.verb == "rotate"


def test_ended_operations_are_still_listed(tmp_path: Path) -> None:
    first, second = _operation(tmp_path), _operation(tmp_path, volume="redis")
    first.end("done")

    assert [(r.operation, r.outcome) for r in journal.every(directory=tmp_path)] == [
        (first.identifier, "done"),
        (second.identifier, None),
    ]


def test_no_journal_is_no_operation(tmp_path: Path) -> None:
    assert journal.every(directory=tmp_path / "none") == ()
    assert journal.unfinished(directory=tmp_path / "none") == ()
    assert journal.unfinished_provisioning("pgdata", directory=tmp_path) is None


def test_an_operation_that_another_process_just_ended_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = _operation(tmp_path)
    (tmp_path / "ended").write_bytes(b"")
    gone = operation.path.with_name("provision-redis-00000000.journal")
    monkeypatch.setattr(Path, "iterdir", lambda _: iter([gone, operation.path]))

    assert [r.operation for r in journal.unfinished(directory=tmp_path)] == [operation.identifier]


def test_what_cannot_be_read_is_not_absent(tmp_path: Path) -> None:
    not_a_directory = tmp_path / "file"
    not_a_directory.write_bytes(b"")
    (tmp_path / "provision-pgdata-00000000.journal").mkdir()

    for listed in (journal.unfinished, journal.every):
        with pytest.raises(JournalError):
            listed(directory=not_a_directory)
    with pytest.raises(JournalError):
        journal.unfinished("pgdata", directory=tmp_path)


@pytest.mark.parametrize("facts", [{}, {"identity": 1}, {"identity": {"device_class": "tape"}}, {"identity": {}}])
def test_a_provisioning_without_its_facts_is_damaged(tmp_path: Path, facts: dict[str, object]) -> None:
    journal.begin(journal.PROVISION, "pgdata", facts, directory=tmp_path)

    with pytest.raises(JournalError, match="lacks"):
        journal.unfinished_provisioning("pgdata", directory=tmp_path)


@pytest.mark.parametrize(
    ("number", "expected"), [(errno.ENOSPC, NoSpaceError), (errno.EDQUOT, NoSpaceError), (errno.EIO, JournalError)]
)
def test_a_step_that_cannot_be_written_down_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    operation = _operation(tmp_path)

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    for broken in ("write", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, refuse)
            with pytest.raises(expected):
                operation.begin_step("format")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", refuse)
        with pytest.raises(expected):
            operation.end("done")
    with monkeypatch.context() as patch:
        patch.setattr(durable, "create", refuse)
        with pytest.raises(expected):
            _operation(tmp_path)


def test_a_disk_that_takes_a_part_of_the_line_and_is_full_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    operation = _operation(tmp_path)
    write = os.write
    calls = iter([7, None])

    def partly(descriptor: int, data: memoryview) -> int:
        taken = next(calls)
        if taken is None:
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, data[:taken])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", partly)
        with pytest.raises(NoSpaceError):
            operation.begin_step("format")

    assert journal.read(operation.path).steps_begun == ()
    operation.begin_step("format")
    assert journal.read(operation.path).step_begun == "format"


def test_a_write_in_pieces_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    operation = _operation(tmp_path)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:5]))

    operation.begin_step("format")

    assert journal.read(operation.path).step_begun == "format"
