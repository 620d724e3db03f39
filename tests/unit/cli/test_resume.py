"""`volward resume` and `volward abort`, over a real journal and real pins."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
from tests.unit.builders import FILE_SYSTEM_UUID, IDENTITY, OTHER_UUID, UUID
from tests.unit.cli.driver import Cli

from volward import journal, lock, pins
from volward.errors import NoOpenerError, NoWayBackError
from volward.model import AnnouncedKeyslot, Pin, VolumeSpec

KEYSLOT = AnnouncedKeyslot(3, "argon2id", 4, 65535, 4)


@pytest.fixture
def operation(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[journal.Operation]:
    """A provisioning of cache that was cut after its pin."""
    records, pinned = tmp_path / "journal", tmp_path / "pins"
    for name in ("begin", "resume", "unfinished"):
        monkeypatch.setattr(journal, name, partial(getattr(journal, name), directory=records))
    for name in ("read", "write", "remove"):
        monkeypatch.setattr(pins, name, partial(getattr(pins, name), directory=pinned))
    monkeypatch.setattr(lock, "held", partial(lock.held, directory=tmp_path / "lock"))
    begun = journal.begin("provision", "cache", journal.provisioning_facts(IDENTITY, UUID, FILE_SYSTEM_UUID))
    pins.write("cache", Pin(IDENTITY, UUID))
    begun.begin_step("pin")
    begun.end_step("pin")
    yield begun


def test_resume_applies_the_volume_of_the_operation(cli: Cli, operation: journal.Operation) -> None:
    seen: dict[str, Any] = {}

    @click.command
    def apply(**options: Any) -> int:
        seen.update(options)
        return 73

    cli.monkeypatch.setattr("volward.cli.apply.apply", apply)
    assert cli("resume", operation.identifier).status == 73
    assert seen == {
        "volumes": ("cache",),
        "yes": True,
        "overwrite": (),
        "recovery_fd": None,
        "no_recovery": False,
        "recovery_vault": False,
    }, "nothing that would be wiped is confirmed by resuming"


def test_resume_of_a_recovery_key_goes_to_its_command(cli: Cli, operation: journal.Operation) -> None:
    seen: dict[str, Any] = {}

    @click.command
    def enrol(**options: Any) -> int:
        seen.update(options)
        return 0

    cli.monkeypatch.setattr("volward.cli.recovery.enrol", enrol)
    cut = journal.begin(journal.RECOVERY, "queue", {})
    assert cli("resume", "--recovery-fd", "5", cut.identifier).status == 0
    assert seen == {"volume": "queue", "recovery_fd": 5, "recovery_vault": False}


@pytest.mark.parametrize("command", ["resume", "abort"])
def test_an_operation_that_is_not_there(cli: Cli, operation: journal.Operation, command: str) -> None:
    done = cli(command, "provision-cache-00000000")
    assert done.status == 66
    assert "VW0504" in done.err
    assert "`volward journal` lists them" in done.err


def test_abort_unpins_what_was_never_formatted(cli: Cli, operation: journal.Operation) -> None:
    done = cli("abort", operation.identifier)
    assert (done.status, done.out) == (0, f"{operation.identifier}: aborted after pin.\n")
    assert journal.unfinished() == ()
    assert pins.read("cache") is None


def test_abort_in_the_middle_of_the_format_unpins_as_well(cli: Cli, operation: journal.Operation) -> None:
    operation.begin_step("format")
    assert cli("abort", operation.identifier).status == 0
    assert pins.read("cache") is None


def test_abort_after_the_format_keeps_the_pin(cli: Cli, operation: journal.Operation) -> None:
    operation.begin_step("format")
    operation.end_step("format")
    assert cli("abort", operation.identifier).status == 0
    assert pins.read("cache") == Pin(IDENTITY, UUID)


def test_abort_keeps_the_pin_of_another_device(cli: Cli, operation: journal.Operation) -> None:
    pins.write("cache", Pin(IDENTITY, OTHER_UUID))
    assert cli("abort", operation.identifier).status == 0
    assert pins.read("cache") == Pin(IDENTITY, OTHER_UUID)


def test_abort_before_the_first_step(cli: Cli, operation: journal.Operation) -> None:
    pins.remove("cache")
    new = journal.begin("enrol", "queue", {"luks_uuid": UUID})
    assert cli("abort", new.identifier).out == f"{new.identifier}: aborted after no step.\n"


def test_abort_waits_for_nobody_who_works_on_the_volume(cli: Cli, operation: journal.Operation) -> None:
    with lock.held("cache"):
        done = cli("abort", operation.identifier)
    assert done.status == 75
    assert journal.unfinished() != ()
    assert pins.read("cache") is not None


def test_abort_of_an_operation_that_has_just_ended(cli: Cli, operation: journal.Operation) -> None:
    held = lock.held

    def held_later(volume: str) -> Any:
        operation.end("done")  # by the other volward, before it let go of the lock
        return held(volume)

    cli.replace("volward.lock.held", held_later)
    assert cli("abort", operation.identifier).status == 66
    assert pins.read("cache") is not None


def test_abort_of_an_enrolment_removes_its_orphan(cli: Cli, operation: journal.Operation) -> None:
    cut = journal.begin(journal.ENROL, "queue", {"luks_uuid": UUID})
    cut.begin_step("enrol-recovery:recovery")
    cut.announce("enrol-recovery:recovery", KEYSLOT)
    given: list[tuple[str, tuple[AnnouncedKeyslot, ...]]] = []

    def give_up(spec: VolumeSpec, record: journal.Record, *, deadline_seconds: float) -> tuple[int, ...]:
        given.append((spec.name, record.announced))
        return (3,)

    cli.replace("volward.operations.enrolment.give_up", give_up)
    done = cli("abort", cut.identifier)
    assert done.out.startswith("queue: keyslot 3 was removed; nobody had its key\n")
    assert given == [("queue", (KEYSLOT,))]


def test_abort_that_cannot_prove_another_key_changes_nothing(cli: Cli, operation: journal.Operation) -> None:
    cut = journal.begin(journal.ENROL, "queue", {"luks_uuid": UUID})
    cut.begin_step("enrol-key:prompt")
    cut.announce("enrol-key:prompt", KEYSLOT)

    def give_up(*_: object, **__: object) -> tuple[int, ...]:
        raise NoOpenerError("No provider could open queue.", resolution="Wait.")

    cli.replace("volward.operations.enrolment.give_up", give_up)
    assert cli("abort", cut.identifier).status == 69
    assert [one.operation for one in journal.unfinished("queue")] == [cut.identifier]


def test_resume_of_a_re_encryption_confirms_what_a_new_plan_removes(cli: Cli, operation: journal.Operation) -> None:
    given: list[tuple[object, ...]] = []

    def give(context: object, volumes: tuple[str, ...], **options: object) -> int:
        given.append((volumes, options))
        return 0

    cli.replace("volward.cli.reencrypt.give_new_volume_key", give)
    cut = journal.begin(journal.REENCRYPT, "queue", {"luks_uuid": UUID})
    assert cli("resume", "--recovery-fd", "5", cut.identifier).status == 0
    assert given == [(("queue",), {"recovery_fd": 5, "recovery_vault": False})]


@pytest.mark.parametrize("error", [None, NoWayBackError("In the middle.", resolution="Go on.")])
def test_abort_of_a_re_encryption_is_for_the_header_to_decide(
    cli: Cli, operation: journal.Operation, error: NoWayBackError | None
) -> None:
    cut = journal.begin(journal.REENCRYPT, "queue", {"luks_uuid": UUID})
    cut.begin_step("reencrypt")

    def give_up(spec: VolumeSpec, record: journal.Record, *, deadline_seconds: float) -> tuple[str, ...]:
        assert (spec.name, record.operation) == ("queue", cut.identifier)
        if error:
            raise error
        return ("Look at this.",)

    cli.replace("volward.operations.unreencrypt.give_up", give_up)
    done = cli("abort", cut.identifier)
    assert done.status == (error.exit_status if error else 0)
    assert ("queue: Look at this." in done.err) is (error is None)
