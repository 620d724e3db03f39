"""How the last job of a unit ended: read from a real journal file."""

from pathlib import Path

import pytest
from tests.unit.host.journal_files import BOOT, EARLIER_BOOT, job, write

from volward.host import unit_jobs
from volward.host.unit_jobs import JobEnd


def _last(directory: Path, *units: str, **options: tuple[str, ...]) -> dict[str, JobEnd]:
    return unit_jobs.last(units, directory=directory, boot_id=BOOT, **options)


def test_a_start_that_failed_by_dependency(tmp_path: Path) -> None:
    write(tmp_path, job("redis.service", "start", "dependency", number=77, usec=5_000_000))

    assert _last(tmp_path, "redis.service") == {
        "redis.service": JobEnd(
            unit="redis.service",
            job_type="start",
            result="dependency",
            number=77,
            monotonic_usec=5_000_000,
            realtime_usec=1_700_000_005_000_000,
        )
    }


def test_the_last_of_this_boot_counts_for_each_unit(tmp_path: Path) -> None:
    write(
        tmp_path,
        [
            *job("c.service", "start", "dependency", number=900, usec=9_000_000, boot=EARLIER_BOOT),
            *job("a.service", "start", "dependency", number=1, usec=1_000_000),
            *job("b.service", "start", "done", number=2, usec=2_000_000),
            *job("a.service", "start", "done", number=3, usec=3_000_000),
            *job("a.service", "stop", "done", number=4, usec=4_000_000),
            *job("b.service", "restart", "done", number=5, usec=5_000_000),
        ],
    )

    ends = _last(tmp_path, "a.service", "b.service", "c.service", "never.service")

    assert {unit: (end.job_type, end.result, end.number) for unit, end in ends.items()} == {
        "a.service": ("stop", "done", 4),
        "b.service": ("restart", "done", 5),
    }
    assert _last(tmp_path, "a.service", job_types=("start",))["a.service"].number == 3


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param({"_PID": "4711", "_UID": "1000"}, id="somebody else writes UNIT="),
        pytest.param({"MESSAGE_ID": "7ad2d189f7e94e70a38c781354912448"}, id="another message about the unit"),
        pytest.param({"JOB_TYPE": "reload"}, id="the end of a reload"),
    ],
)
def test_only_what_pid_1_says_of_the_end_of_a_job_counts(tmp_path: Path, forged: dict[str, str]) -> None:
    true = job("a.service", "start", "done", number=1, usec=1_000_000)
    later = job("a.service", "start", "failed", number=2, usec=2_000_000)
    write(tmp_path, [*true, *({**record, **forged} for record in later)])

    assert _last(tmp_path, "a.service")["a.service"].number == 1


def test_a_record_without_a_number_has_none(tmp_path: Path) -> None:
    (record,) = job("a.service", "start", "done", number=1, usec=1_000_000)
    del record["JOB_ID"]
    write(tmp_path, [record])

    assert _last(tmp_path, "a.service")["a.service"].number == 0


def test_the_journal_of_this_host_is_asked_by_default() -> None:
    assert unit_jobs.last(["volward-no-such-unit.service"]) == {}


def test_a_journal_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        _last(tmp_path / "none", "a.service")
    assert _last(tmp_path, "a.service") == {}
