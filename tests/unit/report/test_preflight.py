"""What preflight says of a volume without asking for a key."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit import builders
from tests.unit.report.volumes import CUT, WHOLE, volume

from volward.header_backup.freshness import BackupState, Freshness
from volward.model import CopyState, MappingState, MountUnitState, StoreKind
from volward.report import preflight
from volward.report.preflight import HOST, Check, Verdict
from volward.report.volume import SeenVolume

READY = replace(
    volume(replace(builders.PERFECT, recovery_confirmed=True)),
    header_backup=BackupState(Freshness.FRESH, Path("/b"), 1),
)


def seen(**changes: Any) -> SeenVolume:
    return replace(READY, seen=replace(READY.seen, **changes))


def backup(freshness: Freshness, error: str = "") -> SeenVolume:
    return replace(READY, header_backup=BackupState(freshness, error=error))


def test_a_volume_that_is_ready_passes_every_check() -> None:
    checks = preflight.of_volume(READY)
    assert [(check.what, check.verdict) for check in checks] == [
        (what, Verdict.PASSED) for what in ("device", "boot", "header", "header backup", "recovery key")
    ]
    assert not any(check.resolution for check in checks)


HEADER = builders.PERFECT.header
DEVICE = builders.PERFECT.device
assert HEADER is not None
assert DEVICE is not None


@pytest.mark.parametrize(
    ("one", "what", "verdict", "said"),
    [
        (seen(device=replace(DEVICE, identity=builders.OTHER_IDENTITY)), "device", Verdict.WARNING, "changed since"),
        (seen(device=replace(DEVICE, read_only=True)), "device", Verdict.FAILED, "read-only"),
        (replace(READY, pin_error="cannot be read"), "device", Verdict.FAILED, "cannot be read"),
        (seen(opens_at_boot=False), "boot", Verdict.FAILED, "missing or disabled"),
        (seen(mount_unit=MountUnitState.DIFFERENT), "boot", Verdict.WARNING, "different"),
        (seen(mount_unit=MountUnitState.ABSENT), "boot", Verdict.FAILED, "absent"),
        (seen(header=replace(HEADER, primary=CopyState.DAMAGED)), "header", Verdict.WARNING, "primary damaged"),
        (seen(header=replace(HEADER, secondary=CopyState.UNKNOWN)), "header", Verdict.WARNING, "secondary unknown"),
        (backup(Freshness.STALE), "header backup", Verdict.WARNING, "changed since"),
        (backup(Freshness.NONE), "header backup", Verdict.WARNING, "none"),
        (backup(Freshness.UNKNOWN, "No such directory."), "header backup", Verdict.WARNING, "No such"),
        (backup(Freshness.UNKNOWN), "header backup", Verdict.WARNING, "compared"),
        (seen(recovery_confirmed=False), "recovery key", Verdict.WARNING, "none"),
        (replace(READY, operations=(CUT,)), "journal", Verdict.WARNING, "provision-pgdata"),
        (replace(READY, operations_error="torn"), "journal", Verdict.WARNING, "torn"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_doubt_has_a_sentence_and_what_to_do(one: SeenVolume, what: str, verdict: Verdict, said: str) -> None:
    (check,) = [
        check for check in preflight.of_volume(one) if check.verdict is not Verdict.PASSED and check.what == what
    ]
    assert check.verdict is verdict
    assert said in check.found
    assert check.resolution
    assert preflight.passed([check]) is (verdict is Verdict.WARNING)
    assert not preflight.passed([check], strict=True)


def test_a_volume_that_cannot_be_opened_at_all_is_one_failure() -> None:
    zombie = seen(mapping=replace(builders.PERFECT.mapping, state=MappingState.ZOMBIE, detail="Its device is gone."))
    assert not preflight.can_be_opened(zombie)
    (check,) = preflight.of_volume(zombie)
    assert (check.what, check.verdict, check.found) == ("volume", Verdict.FAILED, "Its device is gone.")


def test_one_that_is_not_opened_at_boot_says_so() -> None:
    spec = replace(WHOLE.spec, open_at_boot=False)
    checks = preflight.of_volume(replace(seen(opens_at_boot=False), spec=spec))
    assert Check("pgdata", "boot", Verdict.PASSED, "not opened at boot, as the configuration says") in checks


def test_what_the_boot_does_not_open_is_a_warning_at_most() -> None:
    bad = [Check("pgdata", "volume", verdict, "x", "Mend it.") for verdict in (Verdict.FAILED, Verdict.WARNING)]
    assert preflight.as_the_boot_sees(WHOLE.spec, bad) == bad
    at_leisure = replace(WHOLE.spec, open_at_boot=False)
    assert {one.verdict for one in preflight.as_the_boot_sees(at_leisure, bad)} == {Verdict.WARNING}
    good = [Check("pgdata", "volume", Verdict.PASSED, "x")]
    assert preflight.as_the_boot_sees(at_leisure, good) == good


def test_scratch_has_no_header_to_look_at() -> None:
    spec = replace(WHOLE.spec, store=StoreKind.SCRATCH)
    one = replace(seen(header=None, scratch_uuid=builders.UUID), spec=spec)
    assert {check.what for check in preflight.of_volume(one)} == {"device", "boot"}


@pytest.mark.parametrize(
    ("verdicts", "text"),
    [
        ((Verdict.PASSED,), "The next boot opens 1 volume without a person."),
        ((Verdict.WARNING,), "The next boot opens 1 volume without a person. 1 warning: see above."),
        ((Verdict.WARNING,) * 2, "The next boot opens 1 volume without a person. 2 warnings: see above."),
        ((Verdict.WARNING, Verdict.FAILED), "The next boot needs a person: pgdata."),
    ],
)
def test_the_last_line(verdicts: tuple[Verdict, ...], text: str) -> None:
    assert preflight.summary([Check("pgdata", "x", verdict, "found") for verdict in verdicts], 1) == text


def test_as_json() -> None:
    checks = [Check(HOST, "vault", Verdict.PASSED, "works"), Check("pgdata", "boot", Verdict.FAILED, "off", "Mend it.")]
    assert preflight.as_json(checks) == {
        "schema_version": 1,
        "passed": False,
        "checks": [
            {"volume": None, "check": "vault", "result": "passed", "found": "works", "resolution": None},
            {"volume": "pgdata", "check": "boot", "result": "failed", "found": "off", "resolution": "Mend it."},
        ],
    }
