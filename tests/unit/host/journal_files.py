"""A real journal file, written by systemd-journal-remote from what `journalctl --output=export` would print."""

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

BOOT = "0123456789abcdef0123456789abcdef"
EARLIER_BOOT = "fedcba9876543210fedcba9876543210"
STARTED = "39f53479d3a045ac8e11786248231fbf"
FAILED = "be02cf6855d2428ba40df7e9d022f03d"
STOPPED = "9d1aaa27d60140bd96365438aad20286"
_WRITER = Path("/usr/lib/systemd/systemd-journal-remote")
_REALTIME_USEC = 1_700_000_000_000_000
_ENDS = {
    ("start", "done"): (STARTED, "Started Unit."),
    ("start", "dependency"): (FAILED, "Dependency failed for Unit."),
    ("start", "failed"): (FAILED, "Failed to start Unit."),
    ("stop", "done"): (STOPPED, "Stopped Unit."),
    ("restart", "done"): (STOPPED, "Stopped Unit."),
}


def job(unit: str, kind: str, result: str, *, number: int, usec: int, boot: str = BOOT) -> list[dict[str, str]]:
    """The records that PID 1 writes at the end of a job (systemd 252 and 257)."""
    message_id, message = _ENDS[kind, result]
    said = {
        "__REALTIME_TIMESTAMP": str(_REALTIME_USEC + usec),
        "__MONOTONIC_TIMESTAMP": str(usec),
        "_BOOT_ID": boot,
        "_PID": "1",
        "_UID": "0",
        "_TRANSPORT": "journal",
        "SYSLOG_IDENTIFIER": "systemd",
        "UNIT": unit,
        "JOB_TYPE": kind,
        "JOB_RESULT": result,
    }
    records = [{**said, "JOB_ID": str(number), "MESSAGE_ID": message_id, "MESSAGE": message}]
    if result == "dependency":
        records.append({**said, "MESSAGE": f"{unit}: Job {unit}/{kind} failed with result '{result}'."})
    return records


def write(directory: Path, records: Iterable[Mapping[str, str]]) -> Path:
    """Write them, in this order, as the journal in this directory."""
    directory.mkdir(exist_ok=True)
    text = "".join("".join(f"{name}={value}\n" for name, value in record.items()) + "\n" for record in records)
    argv = [str(_WRITER), f"--output={directory / 'system.journal'}", "-"]
    subprocess.run(argv, input=text, text=True, check=True, capture_output=True)
    return directory
