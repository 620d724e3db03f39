"""What volward did, in the systemd journal, as structured records.

Each change has a record of intent before it and of outcome after it, with the fields VOLWARD_EVENT,
VOLWARD_VOLUME, VOLWARD_OUTCOME and what the event adds. Read them with
``journalctl SYSLOG_IDENTIFIER=volward``. No secret is ever a field. Follows systemd.journal-fields(7); calls
no host commands.
"""

import syslog
from enum import StrEnum


class Outcome(StrEnum):
    INTENT = "intent"
    DONE = "done"
    FAILED = "failed"
    ALERT = "alert"


def record(event: str, volume: str, outcome: Outcome, message: str, **fields: str) -> None:
    """Write one record. A host without a journal gets it through syslog(3)."""
    priority = {Outcome.FAILED: syslog.LOG_ERR, Outcome.ALERT: syslog.LOG_ALERT}.get(outcome, syslog.LOG_INFO)
    try:
        from systemd import journal

        journal.send(
            message,
            PRIORITY=str(priority),
            SYSLOG_IDENTIFIER="volward",
            VOLWARD_EVENT=event,
            VOLWARD_VOLUME=volume,
            VOLWARD_OUTCOME=str(outcome),
            **{f"VOLWARD_{name.upper()}": value for name, value in fields.items()},
        )
    except (ImportError, OSError):
        syslog.openlog("volward")
        syslog.syslog(priority, f"{volume}: {event}: {outcome}: {message}")
