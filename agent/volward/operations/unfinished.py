"""An operation that did not end: read again by its name, and whether it is about the header that is there now."""

from volward import journal
from volward.errors import UnfinishedOperationError, UnknownOperationError
from volward.model import Header


def unfinished(operation: str) -> journal.Record:
    """Return an operation as the journal has it now; the caller holds the volume's lock, or only looks.

    Raises UnknownOperationError when there is none of that name, or it has ended; JournalError.
    """
    for record in journal.unfinished():
        if record.operation == operation:
            return record
    raise UnknownOperationError(
        f"There is no unfinished operation {operation}.", resolution="`volward journal` lists them."
    )


def is_about(record: journal.Record, header: Header) -> bool:
    """Whether the operation was begun on this very header: its keyslot numbers mean nothing in another one."""
    return record.facts.get("luks_uuid", header.uuid) == header.uuid


def refuse_other_header(record: journal.Record, header: Header) -> None:
    """Raise UnfinishedOperationError when the device was formatted anew, or exchanged, since the operation began."""
    if not is_about(record, header):
        raise UnfinishedOperationError(
            f"{record.operation} was begun on a header with the LUKS UUID {record.facts['luks_uuid']}, and the "
            f"present one has {header.uuid}.",
            resolution=f"`volward abort {record.operation}` ends it, and leaves the device alone.",
        )
