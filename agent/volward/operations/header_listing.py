"""header list: the backups of a volume beside its present header. Needs no secret and takes no lock."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from volward.errors import VolwardError
from volward.header_backup import files
from volward.header_backup.facts import Facts, Kind
from volward.header_backup.files import Stored
from volward.host import block, header
from volward.model import Header, VolumeSpec
from volward.os_errors import explained


@dataclass(frozen=True)
class Row:
    """One file. ``state``: current, old, unknown (the device could not be looked at), kept or damaged.

    ``expired``: a key opens it that opens the present header no more, though a current backup exists; None: not known.
    """

    volume: str
    stored: Stored
    state: str
    expired: bool | None

    def cells(self) -> tuple[str, ...]:
        """Return the row of the table."""
        facts = self.stored.facts
        if facts is None:
            return (self.volume, "", self.state, "", "", self.stored.path.name)
        made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(facts.created_at))
        state = f"{self.state}, expired" if self.expired else self.state
        return (self.volume, made, state, _keys(facts), _openers(facts), self.stored.path.name)

    def as_json(self) -> dict[str, object]:
        """Return the row for programs."""
        facts, path = self.stored.facts, self.stored.path
        row: dict[str, object] = {"volume": self.volume, "file": str(path), "state": self.state}
        row["error"] = self.stored.error or None
        if facts is not None:
            row |= {
                "created_at": facts.created_at,
                "digest": facts.digest,
                "sequence": facts.sequence,
                "luks_uuid": facts.luks_uuid,
                "expired": self.expired,
                "keyslots": [
                    {
                        "number": slot.number,
                        "kdf": slot.kdf,
                        "provider": slot.provider or None,
                        "key": slot.key or None,
                        "key_version": slot.version or None,
                        "fingerprint": slot.fingerprint or None,
                    }
                    for slot in facts.keyslots
                ],
                "recipients": [str(one.ref) for one in facts.recipients],
            }
        return row


def listing(spec: VolumeSpec) -> tuple[Row, ...]:
    """Return the backups of one volume, the newest first. Raises OperatingSystemError."""
    with explained(f"Listing the header backups of {spec.name}"):
        stored = files.of(spec.header_backups, spec.name)
    present = _present(spec) if stored else None
    return tuple(Row(spec.name, one, _state(one, present), _expired(one, stored, present)) for one in stored)


def _present(spec: VolumeSpec) -> Header | None:
    try:
        return header.read(block.of_volume(spec).node).header
    except VolwardError:
        return None


def _state(one: Stored, present: Header | None) -> str:
    if one.facts is None:
        return "damaged"
    if one.facts.kind is Kind.KEPT:
        return "kept"
    if present is None:
        return "unknown"
    return "current" if one.facts.is_of(present) else "old"


def _expired(one: Stored, all_of_them: Sequence[Stored], present: Header | None) -> bool | None:
    if one.facts is None or present is None:
        return None
    backups = [other.facts for other in all_of_them if other.facts and other.facts.kind is Kind.BACKUP]
    current = next((facts for facts in backups if facts.is_of(present)), None)
    if current is None:
        return None
    return not one.facts.marks <= current.marks


def _keys(facts: Facts) -> str:
    def named(provider: str, version: int) -> str:
        return f"{provider or 'unknown'}.v{version}" if version else provider or "unknown"

    return ", ".join(f"{slot.number} {named(slot.provider, slot.version)}" for slot in facts.keyslots) or "unreadable"


def _openers(facts: Facts) -> str:
    return ", ".join(dict.fromkeys(str(one.ref.provider) for one in facts.recipients))
