"""How a unit's last job ended, as PID 1 wrote it to the journal of this boot; calls no tool.

The state of a unit does not tell: a start job that fails because a dependency did leaves the unit as it was. PID 1
writes one record at the end of each job that did something, with UNIT, JOB_ID, JOB_TYPE, JOB_RESULT and a MESSAGE_ID
that says started, failed or stopped (src/core/job.c, the same in systemd 252 and 257; `journalctl --catalog`). For the
results "dependency" and "timeout" a second record follows, which has neither MESSAGE_ID nor JOB_ID.

There is no record of a job that found nothing to do (stopping what does not run), nor of one that another job
cancelled. LogLevelMax= of the unit, or the log level of PID 1, can suppress them: below "info" those of success, below
"warning" those of a failed dependency too.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# sd-messages.h: the end of a start job that succeeded, or did not, and of a stop job.
_STARTED = "39f53479d3a045ac8e11786248231fbf"
_FAILED = "be02cf6855d2428ba40df7e9d022f03d"
_STOPPED = "9d1aaa27d60140bd96365438aad20286"
START = "start"
STOP = "stop"
RESTART = "restart"  # its first half, the end of which is a stop; its second half is a start
DONE = "done"
DEPENDENCY = "dependency"


@dataclass(frozen=True)
class JobEnd:
    """The end of one job. Jobs are numbered in the order in which PID 1 made them; 0 where the record has no number."""

    unit: str
    job_type: str
    result: str
    number: int
    monotonic_usec: int
    realtime_usec: int


def last(
    units: Iterable[str],
    *,
    job_types: Sequence[str] = (START, STOP, RESTART),
    directory: Path | None = None,
    boot_id: str | None = None,
) -> dict[str, JobEnd]:
    """Return how the last job of each unit ended in this boot; a unit of which nothing is written is left out.

    ``units`` are called as PID 1 calls them (UnitState.identifier), not by an alias. Only records of PID 1 count:
    anybody may write UNIT= to the journal. A host without a journal has no records. Raises OSError.
    """
    from systemd import journal

    found: dict[str, JobEnd] = {}
    # Times as numbers; systemd-python would make them dates, in the local time zone.
    numbers = {
        "__REALTIME_TIMESTAMP": int,
        "__MONOTONIC_TIMESTAMP": lambda both: int(both[0]),
        "MESSAGE_ID": bytes.decode,
    }
    with journal.Reader(path=directory and str(directory), converters=numbers) as reader:
        for unit in units:
            reader.flush_matches()
            reader.this_boot(boot_id)
            reader.add_match(
                f"UNIT={unit}",
                "_PID=1",
                *(f"MESSAGE_ID={message}" for message in (_STARTED, _FAILED, _STOPPED)),
                *(f"JOB_TYPE={job_type}" for job_type in job_types),
            )
            reader.seek_tail()
            if record := reader.get_previous():
                found[unit] = _end(unit, record)
    return found


def _end(unit: str, record: dict[str, Any]) -> JobEnd:
    number = str(record.get("JOB_ID", ""))
    return JobEnd(
        unit=unit,
        job_type=str(record["JOB_TYPE"]),
        result=str(record.get("JOB_RESULT", "")),
        number=int(number) if number.isdecimal() else 0,
        monotonic_usec=record["__MONOTONIC_TIMESTAMP"],
        realtime_usec=record["__REALTIME_TIMESTAMP"],
    )
