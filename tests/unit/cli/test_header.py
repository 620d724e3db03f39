"""`volward header`: what is said, what has to be typed, and the exit statuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.builders import DEVICE
from tests.unit.cli.driver import CONFIGURATION, Cli
from tests.unit.header_backup.builders import FACTS, REF

from volward import journal
from volward.errors import DamagedHeaderError, DeviceNotFoundError, ProviderUnavailableError, VolwardError
from volward.header_backup.facts import Recipient
from volward.header_backup.files import Stored
from volward.model import VolumeSpec
from volward.operations.header_backup import Made
from volward.operations.header_listing import Row
from volward.operations.header_repair import Repaired
from volward.operations.header_restore import Restored
from volward.operations.header_target import Wanted
from volward.operations.header_verify import Verified

PATH = Path("/var/lib/volward/header-backups/cache.20261125T222103Z.01234567.header")
STORED = replace(FACTS, recipients=(Recipient(REF, "x"),))
SCRATCH = (
    '\n[volumes.tmp]\ndevice = "/dev/disk/by-id/virtio-tmp"\nstore = "scratch"\nmount_point = "/srv/volward/tmp"\n'
)


def test_backup_of_all_goes_on_after_an_error(cli: Cli) -> None:
    cli.configure(CONFIGURATION + SCRATCH)

    def make(spec: VolumeSpec, *, deadline_seconds: float, ask: bool) -> Made:
        assert not ask, "this is how the timer runs it"
        if spec.name == "cache":
            raise ProviderUnavailableError("Nobody answers.", resolution="Look.")
        return Made(PATH, STORED, existed=False, remarks=("No recovery key opens it.",))

    cli.replace("volward.operations.header_backup.backup", make)
    done = cli("header", "backup")
    assert done.status == 69
    assert done.out == f"queue: the header backed up and proven: {PATH}\n"
    assert "Nobody answers." in done.err and "warning: No recovery key opens it." in done.err


def test_a_backup_that_exists(cli: Cli) -> None:
    cli.replace("volward.operations.header_backup.backup", lambda spec, **_: Made(PATH, STORED, existed=True))
    done = cli("header", "backup", "cache")
    assert (done.status, done.out) == (0, f"cache: the header has a proven backup already: {PATH}\n")


@pytest.mark.parametrize(
    ("arguments", "terminal", "asked"), [((), False, False), ((), True, True), (("cache", "queue"), False, True)]
)
def test_a_person_is_asked_who_is_there_or_named_a_volume(
    cli: Cli, arguments: tuple[str, ...], terminal: bool, asked: bool
) -> None:
    found = []

    def make(spec: VolumeSpec, *, deadline_seconds: float, ask: bool) -> Made:
        found.append(ask)
        return Made(PATH, STORED)

    cli.replace("volward.operations.header_backup.backup", make)
    if terminal:
        cli.on_a_terminal()
    assert cli("header", "backup", *arguments).status == 0
    assert found == [asked, asked]


def test_what_takes_a_person_makes_no_unit_fail(cli: Cli) -> None:
    made = {"cache": None, "queue": Made(PATH, STORED)}
    cli.replace("volward.operations.header_backup.backup", lambda spec, **_: made[spec.name])
    done = cli("header", "backup")
    assert done.status == 0
    assert "cache: no backup, because its providers ask a person" in done.err
    assert "`volward recovery enrol cache`" in done.err
    assert done.out == f"queue: the header backed up and proven: {PATH}\n"


@pytest.mark.parametrize(
    ("at_boot", "arguments", "status"), [("false", (), 0), ("true", (), 66), ("false", ("cache", "queue"), 66)]
)
def test_a_disk_in_a_drawer_makes_no_unit_fail(cli: Cli, at_boot: str, arguments: tuple[str, ...], status: int) -> None:
    cli.configure(f"[defaults]\nopen_at_boot = {at_boot}\n{CONFIGURATION}")

    def make(spec: VolumeSpec, *, deadline_seconds: float, ask: bool) -> Made:
        raise DeviceNotFoundError(f"{spec.device} does not exist.", resolution="Plug it in.")

    cli.replace("volward.operations.header_backup.backup", make)
    done = cli("header", "backup", *arguments)
    assert done.status == status
    assert "/dev/disk/by-id/virtio-queue does not exist." in done.err
    assert ("queue: left out" in done.err) is (status == 0)


def test_list(cli: Cli) -> None:
    rows = {"cache": (Row("cache", Stored(PATH, STORED), "current", expired=False),), "queue": ()}
    cli.replace("volward.operations.header_listing.listing", lambda spec: rows[spec.name])
    assert "current" in cli("header", "list").out
    (row,) = json.loads(cli("header", "list", "--json").out)
    assert row["volume"] == "cache" and row["keyslots"][0]["fingerprint"] == "f" * 32
    assert cli("header", "list", "queue").out.startswith("There is no header backup.")


@pytest.mark.parametrize("recovery", [True, False])
def test_verify(cli: Cli, recovery: bool) -> None:
    asked = []

    def verify(
        spec: VolumeSpec, path: Path, *, ask_recovery: bool, deadline_seconds: float, output: Path | None
    ) -> Verified:
        asked.append((path, ask_recovery, output))
        return Verified(STORED, "credential:x.v1", 0)

    cli.replace("volward.operations.header_target.chosen", lambda spec, name: PATH)
    cli.replace("volward.operations.header_verify.verify", verify)
    done = cli("header", "verify", "cache", *(["--recovery"] if recovery else []))
    assert done.out == f"cache: {PATH.name} is whole: credential:x.v1 decrypts it, and keyslot 0 opens\n"
    assert asked == [(PATH, recovery, None)]
    assert "written to /run/header" in cli("header", "verify", "cache", "--output", "/run/header").out
    assert asked[-1] == (PATH, False, Path("/run/header"))


WANTED = Wanted(
    spec=None,  # type: ignore[arg-type]
    device=DEVICE,
    backup=PATH,
    facts=STORED,
    present="Both copies are gone.",
    is_open=False,
)


@pytest.fixture
def restored(cli: Cli) -> list[tuple[Wanted, bool]]:
    done: list[tuple[Wanted, bool]] = []

    def restore(wanted: Wanted, *, ask_recovery: bool, deadline_seconds: float) -> Restored:
        done.append((wanted, ask_recovery))
        return Restored("credential:x.v1", 0, "cache.kept")

    cli.replace("volward.operations.header_target.look", lambda spec, name: replace(WANTED, spec=spec))
    cli.replace("volward.operations.header_restore.restore", restore)
    return done


def test_restore_with_the_identity_given(cli: Cli, restored: list[tuple[Wanted, bool]]) -> None:
    done = cli("header", "restore", "cache", "--confirm", "PG1", "--recovery")
    assert done.status == 0
    assert "Both copies are gone." in done.out and "what was there before: cache.kept" in done.out
    assert [ask for _, ask in restored] == [True]


def test_restore_with_the_identity_typed(cli: Cli, restored: list[tuple[Wanted, bool]]) -> None:
    cli.on_a_terminal("PG1")
    done = cli("header", "restore", "cache")
    assert done.status == 0 and "will be overwritten; what is there now is kept aside" in done.out
    assert cli.asked == ["Type its serial number"] and len(restored) == 1


@pytest.mark.parametrize("typed", ["", "yes", "cache", "PG2"])
def test_anything_else_is_no(cli: Cli, restored: list[tuple[Wanted, bool]], typed: str) -> None:
    cli.on_a_terminal(typed)
    assert cli("header", "restore", "cache").status == 73
    assert restored == []


def test_nobody_to_ask(cli: Cli, restored: list[tuple[Wanted, bool]]) -> None:
    done = cli("header", "restore", "cache")
    assert done.status == 77
    assert 'volward header restore cache --confirm "IDENTITY"' in done.err
    assert restored == []


RECORD = journal.Record(
    "header_restore-cache-0123", journal.HEADER_RESTORE, "cache", {}, 0.0, ("keep",), (), None, None
)


def test_one_that_was_cut_goes_on_without_being_confirmed_again(cli: Cli, restored: list[tuple[Wanted, bool]]) -> None:
    wanted = replace(WANTED, record=RECORD, is_confirmed=True)
    cli.replace("volward.operations.header_target.look", lambda spec, name: replace(wanted, spec=spec))
    cli.replace("volward.journal.unfinished", lambda *_: (RECORD,))
    done = cli("resume", RECORD.operation, "--recovery")
    assert done.status == 0 and "was confirmed before, and goes on" in done.out
    assert [ask for _, ask in restored] == [True]


def test_one_that_was_cut_is_confirmed_again_when_the_device_changed_since(
    cli: Cli, restored: list[tuple[Wanted, bool]]
) -> None:
    cli.replace("volward.operations.header_target.look", lambda spec, name: replace(WANTED, spec=spec, record=RECORD))
    cli.replace("volward.journal.unfinished", lambda *_: (RECORD,))
    done = cli("resume", RECORD.operation)
    assert done.status == 77 and "the header was changed since" in done.out
    assert 'volward header restore cache --confirm "IDENTITY"' in done.err
    assert restored == []
    assert cli("header", "restore", "cache", "--confirm", "PG1").status == 0
    assert len(restored) == 1


@pytest.mark.parametrize(
    ("done", "status", "words"),
    [
        (None, 0, "nothing to do, because both copies"),
        (Repaired("the primary copy was damaged", "cache.kept", ("Stale.",)), 0, "what was there before: cache.kept"),
        (Repaired("", "", ()), 0, "a cut repair was finished"),
        (DamagedHeaderError("No copy is whole.", resolution="Restore."), 65, "No copy is whole."),
    ],
)
def test_repair(cli: Cli, done: Repaired | VolwardError | None, status: int, words: str) -> None:
    def repair(spec: VolumeSpec, *, deadline_seconds: float) -> Repaired | None:
        if isinstance(done, VolwardError):
            raise done
        return done

    cli.replace("volward.operations.header_repair.repair", repair)
    answer = cli("header", "repair", "cache")
    assert answer.status == status and words in answer.out + answer.err


def test_resume_of_a_repair(cli: Cli) -> None:
    record = replace(RECORD, verb=journal.HEADER_REPAIR)
    cli.replace("volward.journal.unfinished", lambda *_: (record,))
    cli.replace("volward.operations.header_repair.repair", lambda spec, **_: Repaired("", "", ()))
    assert "a cut repair was finished" in cli("resume", record.operation).out
