"""The exit statuses of the command line: sysexits(3), with volward's meaning; and the one of a pass of many volumes."""

from collections.abc import Iterable
from enum import IntEnum


class ExitStatus(IntEnum):
    """Exit statuses of the command line (sysexits(3), with volward's meaning)."""

    DONE = 0
    CHANGES_PENDING = 3
    COMMAND_LINE = 2
    DAMAGED_HEADER = 65
    NOT_FOUND = 66
    PROVIDER_UNAVAILABLE = 69
    BUG = 70
    TOOL_FAILED = 71
    TOOL_MISSING = 72
    WOULD_DESTROY = 73
    BUSY = 75
    VERIFICATION_FAILED = 76
    DENIED = 77
    CONFIGURATION = 78
    INTERRUPTED = 130

    @property
    def needs_a_person(self) -> bool:
        """Whether the same command, tried again later, cannot end any better: nothing that is waited for is missing."""
        return self in _NEED_A_PERSON

    @classmethod
    def of_pass(cls, statuses: Iterable["ExitStatus"]) -> "ExitStatus":
        """Return the status of a command on many volumes: the first that trying again may mend, or else the first.

        `DONE` when there is none. A unit's restart serves the volumes that wait, whatever else was wrong.
        """
        failed = [status for status in statuses if status is not cls.DONE]
        return next((status for status in failed if not status.needs_a_person), failed[0] if failed else cls.DONE)


_NEED_A_PERSON = frozenset(
    {
        ExitStatus.DAMAGED_HEADER,
        ExitStatus.WOULD_DESTROY,
        ExitStatus.VERIFICATION_FAILED,
        ExitStatus.DENIED,
        ExitStatus.CONFIGURATION,
    }
)
