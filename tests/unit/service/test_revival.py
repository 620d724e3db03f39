"""Which consumers are started when a volume is back: exactly those that its absence kept or took down."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.host.journal_files import BOOT, job, write
from tests.unit.host.recording import Recording

from volward.host import unit_jobs
from volward.host.unit_jobs import JobEnd
from volward.host.unit_state import UnitState
from volward.service import revival
from volward.service.revival import Decision, MountPast, Why

S = 1_000_000
_CONSUMER = UnitState(
    name="db.service",
    identifier="db.service",
    load_state="loaded",
    active_state="inactive",
    file_state="enabled",
    has_job=False,
    condition_held=False,
    active_enter_usec=0,
    inactive_enter_usec=0,
    state_change_usec=0,
)
_MOUNT = replace(_CONSUMER, name="srv-db.mount", identifier="srv-db.mount", active_state="active", file_state="static")
# A boot without the key: the mount came after 60 s.
_LATE = MountPast(replace(_MOUNT, active_enter_usec=60 * S, state_change_usec=60 * S))
# There since the boot, and never away.
_THERE = MountPast(replace(_MOUNT, active_enter_usec=5 * S, state_change_usec=5 * S))
# The database ran from second 10 on; at second 100 the disk was pulled, at 200 it was back.
_RAN = replace(_CONSUMER, active_enter_usec=10 * S, inactive_enter_usec=101 * S, state_change_usec=101 * S)
_CRASHED = replace(_RAN, active_state="failed")


def _end(kind: str, result: str, *, at: int, number: int = 20) -> JobEnd:
    return JobEnd("db.service", kind, result, number, at * S, 0)


def _pulled(*, stop_number: int = 19, lost: int | None = 100, by_job: bool = True) -> MountPast:
    return MountPast(
        replace(_MOUNT, active_enter_usec=200 * S, inactive_enter_usec=102 * S, state_change_usec=200 * S),
        JobEnd("srv-db.mount", "stop", "done", stop_number, 102 * S, 0) if by_job else None,
        None if lost is None else lost * S,
    )


_UNMOUNTED = MountPast(  # by nobody's job: the consumer ran on for a moment
    replace(_MOUNT, active_enter_usec=200 * S, inactive_enter_usec=100 * S), None, 100 * S
)
_DEPENDENCY = _end("start", "dependency", at=30)
_START = _end("start", "done", at=10)
_STOP = _end("stop", "done", at=101)
_LATER_FAILED = replace(_CONSUMER, active_state="failed", inactive_enter_usec=110 * S)


@pytest.mark.parametrize(
    ("consumer", "job", "mounts", "why"),
    [
        pytest.param(_CONSUMER, _DEPENDENCY, (_LATE,), Why.MOUNT_WAS_AWAY, id="the key came after the boot"),
        pytest.param(_CONSUMER, _DEPENDENCY, (_THERE, _LATE), Why.MOUNT_WAS_AWAY, id="one volume of two was late"),
        pytest.param(
            replace(_CONSUMER, file_state="static"), _DEPENDENCY, (_LATE,), Why.MOUNT_WAS_AWAY, id="it is static"
        ),
        pytest.param(
            replace(_CONSUMER, active_state="failed", state_change_usec=20 * S),
            _DEPENDENCY,
            (_LATE,),
            Why.MOUNT_WAS_AWAY,
            id="it had failed before, and was asked for again",
        ),
        pytest.param(
            replace(_CONSUMER, load_state="masked", file_state="masked"),
            _DEPENDENCY,
            (_LATE,),
            Why.NOT_LOADED,
            id="masked",
        ),
        pytest.param(
            replace(_CONSUMER, load_state="not-found", file_state=""), None, (_LATE,), Why.NOT_LOADED, id="no such unit"
        ),
        pytest.param(replace(_CONSUMER, file_state="disabled"), _DEPENDENCY, (_LATE,), Why.NOT_ENABLED, id="disabled"),
        pytest.param(
            replace(_CONSUMER, file_state="masked"), _DEPENDENCY, (_LATE,), Why.NOT_ENABLED, id="masked while loaded"
        ),
        pytest.param(replace(_CONSUMER, has_job=True), _DEPENDENCY, (_LATE,), Why.HAS_JOB, id="its job waits"),
        *[
            pytest.param(replace(_CONSUMER, active_state=state), _DEPENDENCY, (_LATE,), Why.RUNNING, id=state)
            for state in ("active", "activating", "deactivating", "reloading")
        ],
        pytest.param(
            _CONSUMER,
            _DEPENDENCY,
            (_LATE, MountPast(replace(_MOUNT, active_state="inactive"))),
            Why.MOUNT_IS_AWAY,
            id="another volume is not there yet",
        ),
        pytest.param(_CONSUMER, None, (_LATE,), Why.NEVER_TRIED, id="never started"),
        pytest.param(_CONSUMER, _DEPENDENCY, (_THERE,), Why.OTHER_DEPENDENCY, id="the mount was there all the time"),
        pytest.param(
            _CONSUMER,
            _end("start", "dependency", at=70),
            (_LATE,),
            Why.OTHER_DEPENDENCY,
            id="it was started once the mount was back, and another dependency failed",
        ),
        pytest.param(
            replace(_CONSUMER, state_change_usec=40 * S),
            _DEPENDENCY,
            (_LATE,),
            Why.CHANGED_SINCE,
            id="it ran since, and PID 1's log level hides that",
        ),
        pytest.param(
            _RAN, _end("stop", "done", at=101), (_LATE,), Why.STOPPED, id="it failed, was started by hand, and stopped"
        ),
        pytest.param(_CRASHED, _START, (_THERE,), Why.FAILED, id="it crashed"),
        pytest.param(_CONSUMER, _end("start", "failed", at=30), (_LATE,), Why.FAILED, id="it could not start"),
        pytest.param(_CONSUMER, _end("start", "timeout", at=30), (_LATE,), Why.FAILED, id="it took too long"),
        pytest.param(_CONSUMER, _START, (_THERE,), Why.SKIPPED, id="a condition did not hold"),
        pytest.param(replace(_RAN, condition_held=True), _START, (_THERE,), Why.ENDED, id="it had done its work"),
        # A disk that was pulled and put back.
        pytest.param(_RAN, _STOP, (_pulled(),), Why.STOPPED_WITH_MOUNT, id="stopped in the mount's transaction"),
        pytest.param(_RAN, _STOP, (_THERE, _pulled()), Why.STOPPED_WITH_MOUNT, id="one volume of two was pulled"),
        pytest.param(
            _RAN, _STOP, (_UNMOUNTED,), Why.STOPPED_WITH_MOUNT, id="stopped because bound to an inactive mount"
        ),
        pytest.param(_RAN, _STOP, (_pulled(lost=None),), Why.STOPPED, id="the mount was stopped, nothing was lost"),
        pytest.param(_RAN, _STOP, (_pulled(stop_number=21),), Why.STOPPED, id="stopped by hand after the disk went"),
        pytest.param(
            _RAN, _STOP, (_pulled(stop_number=0),), Why.STOPPED, id="a record without a number proves nothing"
        ),
        pytest.param(
            _RAN, replace(_STOP, number=0), (_pulled(),), Why.STOPPED, id="its own record without a number neither"
        ),
        pytest.param(_RAN, _STOP, (_pulled(by_job=False),), Why.STOPPED, id="of the mount's job nothing is known"),
        pytest.param(
            replace(_RAN, inactive_enter_usec=150 * S, state_change_usec=150 * S),
            _end("stop", "done", at=150),
            (_UNMOUNTED,),
            Why.STOPPED_WITH_MOUNT,
            id="and it took its time to stop",
        ),
        pytest.param(
            replace(_RAN, inactive_enter_usec=80 * S, state_change_usec=80 * S),
            _end("stop", "done", at=80),
            (_pulled(),),
            Why.STOPPED,
            id="stopped by hand before the disk was pulled",
        ),
        pytest.param(
            replace(_RAN, active_enter_usec=210 * S, inactive_enter_usec=220 * S, state_change_usec=220 * S),
            _end("stop", "done", at=220, number=30),
            (_pulled(),),
            Why.STOPPED,
            id="stopped by hand once the disk was back",
        ),
        pytest.param(
            replace(_RAN, state_change_usec=150 * S),
            _STOP,
            (_pulled(),),
            Why.CHANGED_SINCE,
            id="its state has changed since it was stopped",
        ),
        pytest.param(_CRASHED, _START, (_pulled(),), Why.FAILED_WITH_MOUNT, id="the disk's errors were faster"),
        pytest.param(
            replace(_CRASHED, inactive_enter_usec=97 * S),
            _START,
            (_pulled(),),
            Why.FAILED_WITH_MOUNT,
            id="faster than the daemon heard of it, too",
        ),
        pytest.param(
            _LATER_FAILED,
            _end("start", "failed", at=110),
            (_pulled(),),
            Why.FAILED_WITH_MOUNT,
            id="systemd tried it again without the disk",
        ),
        pytest.param(
            _CRASHED, _START, (_pulled(lost=None),), Why.FAILED, id="a crash, and the mount was stopped later"
        ),
        pytest.param(
            replace(_CRASHED, inactive_enter_usec=90 * S), _START, (_pulled(),), Why.FAILED, id="a crash long before"
        ),
        pytest.param(
            replace(_CRASHED, inactive_enter_usec=210 * S), _START, (_pulled(),), Why.FAILED, id="a crash afterwards"
        ),
        pytest.param(
            _CRASHED,
            _START,
            (replace(_THERE, lost_usec=100 * S),),
            Why.FAILED,
            id="the mount itself never went",
        ),
    ],
)
def test_decisions(consumer: UnitState, job: JobEnd | None, mounts: tuple[MountPast, ...], why: Why) -> None:
    assert revival.decide(consumer, job, mounts) == Decision("db.service", why)


def test_three_reasons_start_a_consumer() -> None:
    assert [why.name for why in Why if Decision("db.service", why).start] == [
        "MOUNT_WAS_AWAY",
        "STOPPED_WITH_MOUNT",
        "FAILED_WITH_MOUNT",
    ]


def _shown(unit: str, *, active: str, entered: int = 0, left: int = 0, changed: int = 0) -> str:
    return (
        f"Id={unit}\nLoadState=loaded\nActiveState={active}\nUnitFileState=enabled\nConditionResult=yes\n"
        f"ActiveEnterTimestampMonotonic={entered * S}\nInactiveEnterTimestampMonotonic={left * S}\n"
        f"StateChangeTimestampMonotonic={changed * S}\n"
    )


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[dict[str, str]]], None]:
    """Write the journal of this host."""
    last = unit_jobs.last

    def here(units: object, **options: tuple[str, ...]) -> dict[str, JobEnd]:
        return last(units, directory=tmp_path, boot_id=BOOT, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(unit_jobs, "last", here)

    def store(records: list[dict[str, str]]) -> None:
        write(tmp_path, records)

    return store


def test_consumers_are_looked_at_together(
    recording: Recording, journal: Callable[[list[dict[str, str]]], None]
) -> None:
    recording.answer(
        stdout="\n".join(
            [
                _shown("late-server.service", active="inactive"),
                _shown("pulled.service", active="inactive", entered=10, left=101, changed=101),
                _shown("runs.service", active="active", entered=61, changed=61),
                _shown("late.mount", active="active", entered=60, changed=60),
                _shown("pulled.mount", active="active", entered=200, left=102, changed=200),
            ]
        )
    )
    journal(
        [
            *job("late-server.service", "start", "dependency", number=7, usec=30 * S),
            *job("pulled.service", "start", "done", number=8, usec=31 * S),
            *job("pulled.service", "stop", "done", number=20, usec=101 * S),
            *job("pulled.mount", "stop", "done", number=19, usec=102 * S),
            *job("pulled.mount", "start", "done", number=25, usec=200 * S),
        ]
    )

    decisions = revival.examine(
        {"late.service": ("late.mount",), "pulled.service": ("pulled.mount",), "runs.service": ("late.mount",)},
        lost_usec={"pulled.mount": 100 * S},
    )

    assert decisions == (
        Decision("late.service", Why.MOUNT_WAS_AWAY),
        Decision("pulled.service", Why.STOPPED_WITH_MOUNT),
        Decision("runs.service", Why.RUNNING),
    )
    assert len(recording.calls) == 1


def test_the_journal_is_not_read_for_nothing(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    recording.answer(stdout=_shown("a.service", active="active") + "\n" + _shown("a.mount", active="active"))
    monkeypatch.delattr(unit_jobs, "last")

    assert revival.examine({"a.service": ("a.mount",)}) == (Decision("a.service", Why.RUNNING),)
