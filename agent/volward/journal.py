"""The write-ahead record of every operation of more than one step.

One file an operation, one JSON object a line, each with a checksum and fsynced before the step that it
announces is taken. A line that a power cut tore off at the end is ignored; any other damage is an error. No
secret is ever written here. Files live in /var/lib/volward/journal; finished ones are kept as ID.done.
Calls no host commands. Durability follows fsync(2) and rename(2): the directory is synced as well.
"""

import contextlib
import dataclasses
import errno
import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from volward import durable
from volward.errors import JournalError, NoSpaceError
from volward.model import AnnouncedKeyslot, DeviceClass, Identity, ProviderKind, Reencryption, Rotation, Unfinished

DIRECTORY = Path("/var/lib/volward/journal")
PROVISION = "provision"
ENROL = "enrol"  # further keys of a provisioned volume, by `volward apply`
ROTATE = "rotate"  # a new key in place of one that is enrolled, by `volward rotate`
REENCRYPT = "reencrypt"  # a new volume key, by `volward rotate --volume-key`
RECOVERY = "recovery"  # one more recovery key, by `volward recovery enrol`
HEADER_RESTORE = "header_restore"  # a header backup over the present header
HEADER_REPAIR = "header_repair"  # one copy of the header from the other


@dataclass(frozen=True)
class Record:
    """What one operation's file says."""

    operation: str  # its identifier: verb-volume-random
    verb: str
    volume: str
    facts: Mapping[str, object]
    begun_at: float  # seconds since the epoch
    steps_begun: tuple[str, ...]  # every step that ever began, in order
    steps_done: tuple[str, ...]
    step_begun: str | None  # the last one, begun and not known to be done
    outcome: str | None  # None while unfinished
    announced: tuple[AnnouncedKeyslot, ...] = ()  # by steps that are not known to be done
    ever_announced: tuple[AnnouncedKeyslot, ...] = ()  # by any of its steps

    def as_unfinished(self) -> Unfinished:
        """Return a provisioning's record in the form that plan reads. Raises JournalError if it is not one."""
        try:
            identity = dict(self.facts["identity"])  # type: ignore[call-overload]
            identity["device_class"] = DeviceClass(identity["device_class"])
            return Unfinished(
                operation=self.operation,
                identity=Identity(**identity),
                luks_uuid=str(self.facts["luks_uuid"]),
                file_system_uuid=str(self.facts["file_system_uuid"]),
                steps_done=frozenset(self.steps_done),
                step_begun=self.step_begun,
                steps_begun=frozenset(self.steps_begun),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable(self.operation, f"it lacks {error}") from error

    def as_rotation(self) -> Rotation:
        """Return what a rotation is about. Raises JournalError if the record is not one."""
        try:
            said = dict(self.facts["rotation"])  # type: ignore[call-overload]
            return Rotation(
                provider=ProviderKind(said["provider"]) if said["provider"] else None,
                old=tuple(map(int, said["old"])),
                revoked=tuple(map(int, said["revoked"])),
                at_once=bool(said["at_once"]),
                begun_at=int(said["begun_at"]),
                revoked_marks=tuple(map(str, said["revoked_marks"])),
                successor_name=str(said["successor_name"]),
                successor_version=int(said["successor_version"]),
                successor_details=MappingProxyType({str(k): str(v) for k, v in said["successor_details"].items()}),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _unreadable(self.operation, f"it lacks {error}") from error

    def as_reencryption(self) -> Reencryption:
        """Return what a change of the volume key is about. Raises JournalError if the record is not one."""
        try:
            said = dict(self.facts["reencryption"])  # type: ignore[call-overload]
            return Reencryption(
                old_digest=str(said["old_digest"]),
                online=bool(said["online"]),
                left=tuple(map(int, said["left"])),
                carried=tuple(map(int, said["carried"])),
                enrol_tpm2=bool(said["enrol_tpm2"]),
                new_recovery=bool(said["new_recovery"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable(self.operation, f"it lacks {error}") from error


class Operation:
    """An operation that is being written. Not thread-safe; its caller holds the volume's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.identifier = path.name.removesuffix(".journal")

    def begin_step(self, name: str) -> None:
        """Write that ``name`` is the next step; returns once that is on disk. Raises JournalError, NoSpaceError."""
        self._append({"kind": "step", "step": name})

    def announce(self, name: str, keyslot: AnnouncedKeyslot) -> None:
        """Write which keyslot the running step ``name`` is about to fill; should it be cut, this proves whose it is."""
        self._append({"kind": "keyslot", "step": name, **dataclasses.asdict(keyslot)})

    def end_step(self, name: str) -> None:
        """Write that ``name`` was done and verified by its action."""
        self._append({"kind": "done", "step": name})

    def end(self, outcome: str) -> None:
        """Write how the operation ended, and put its file away."""
        self._append({"kind": "end", "outcome": outcome})
        try:
            self.path.rename(self.path.with_suffix(".done"))
            durable.sync_directory(self.path.parent)
        except OSError as error:
            raise _unwritable(self.path, error) from error

    def _append(self, record: dict[str, object]) -> None:
        line = memoryview(_line({"at": time.time(), **record}))
        try:
            _, kept = _parse(self.path, self.path.read_bytes())
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.ftruncate(descriptor, kept)  # drop a line that a power cut tore off
                os.lseek(descriptor, kept, os.SEEK_SET)
                while line:  # a file system that fills up takes a part first and refuses the rest
                    line = line[os.write(descriptor, line) :]
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _unwritable(self.path, error) from error


def begin(verb: str, volume: str, facts: Mapping[str, object], *, directory: Path = DIRECTORY) -> Operation:
    """Create the file of a new operation, durably, and return it. Raises JournalError, NoSpaceError.

    ``verb`` has no dash: the file's name tells by it which volume the operation is about.
    """
    path = directory / f"{verb}-{volume}-{secrets.token_hex(4)}.journal"
    first = {"kind": "begin", "verb": verb, "volume": volume, "facts": dict(facts), "at": time.time()}
    try:
        durable.make_directory(directory, mode=0o700)
        durable.create(path, _line(first))
    except OSError as error:
        raise _unwritable(path, error) from error
    return Operation(path)


def resume(record: Record, *, directory: Path = DIRECTORY) -> Operation:
    """Return the operation of an unfinished record, to write on."""
    return Operation(directory / f"{record.operation}.journal")


def every(*, directory: Path = DIRECTORY) -> tuple[Record, ...]:
    """Return all operations that were recorded, finished ones too, oldest first. Raises JournalError."""
    found = []
    try:
        for path in sorted(p for p in directory.iterdir() if p.suffix in (".journal", ".done")):
            with contextlib.suppress(FileNotFoundError):  # another volward has just ended it
                found.append(read(path))
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _unreadable(str(directory), str(error)) from error
    return tuple(sorted(found, key=lambda record: record.begun_at))


def unfinished(volume: str | None = None, *, directory: Path = DIRECTORY) -> tuple[Record, ...]:
    """Return the operations that did not end, oldest first; of one volume or of all. Raises JournalError.

    Files of other volumes are not read: damage to one of them must not keep this volume closed.
    """
    try:
        paths = [p for p in directory.iterdir() if p.suffix == ".journal" and volume in (None, _volume_of(p))]
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _unreadable(str(directory), str(error)) from error
    found = []
    for path in sorted(paths):
        with contextlib.suppress(FileNotFoundError):  # another volward has just ended it
            found.append(read(path))
    return tuple(sorted((r for r in found if r.outcome is None), key=lambda record: record.begun_at))


def announced(volume: str, *, directory: Path = DIRECTORY) -> tuple[AnnouncedKeyslot, ...]:
    """Return the keyslots that the volume's unfinished enrolments were about to fill. Raises JournalError.

    A rotation's are its own to finish: their key may be in its store already.
    """
    records = unfinished(volume, directory=directory)
    return tuple(one for record in records if record.verb != ROTATE for one in record.announced)


def unfinished_provisioning(volume: str, *, directory: Path = DIRECTORY) -> Unfinished | None:
    """Return the volume's provisioning that did not end, for plan. Raises JournalError."""
    records = [r for r in unfinished(volume, directory=directory) if r.verb == PROVISION]
    return records[-1].as_unfinished() if records else None


def provisioning_facts(identity: Identity, luks_uuid: str, file_system_uuid: str) -> dict[str, object]:
    """Return the facts that a provisioning journals before its first step (rule 5: the UUID to be used)."""
    return {
        "identity": dataclasses.asdict(identity),
        "luks_uuid": luks_uuid,
        "file_system_uuid": file_system_uuid,
    }


def rotation_facts(rotation: Rotation, luks_uuid: str) -> dict[str, object]:
    """Return the facts that a rotation journals before its first step."""
    plain = {f.name: getattr(rotation, f.name) for f in dataclasses.fields(rotation)}
    return {"luks_uuid": luks_uuid, "rotation": plain | {"successor_details": dict(rotation.successor_details)}}


def reencryption_facts(reencryption: Reencryption, luks_uuid: str) -> dict[str, object]:
    """Return the facts that a change of the volume key journals before its first step."""
    return {"luks_uuid": luks_uuid, "reencryption": dataclasses.asdict(reencryption)}


def unfinished_reencryption(volume: str, *, directory: Path = DIRECTORY) -> Record | None:
    """Return the volume's change of its volume key that did not end. Raises JournalError."""
    records = [r for r in unfinished(volume, directory=directory) if r.verb == REENCRYPT]
    return records[-1] if records else None


def unfinished_rotation(volume: str, *, directory: Path = DIRECTORY) -> Record | None:
    """Return the volume's rotation that did not end. Raises JournalError."""
    records = [r for r in unfinished(volume, directory=directory) if r.verb == ROTATE]
    return records[-1] if records else None


def read(path: Path) -> Record:
    """Read one operation's file.

    Raises JournalError for damage other than a torn last line or when it cannot be read, FileNotFoundError.
    """
    try:
        records, _ = _parse(path, path.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _unreadable(str(path), str(error)) from error
    if not records or records[0].get("kind") != "begin":
        raise _unreadable(str(path), "it does not begin with a 'begin' record")
    begun, steps = records[0], records[1:]
    progress = [r for r in steps if r["kind"] != "keyslot"]
    last = progress[-1] if progress else {}
    return Record(
        operation=path.stem,
        verb=str(begun["verb"]),
        volume=str(begun["volume"]),
        facts=begun["facts"] if isinstance(begun["facts"], dict) else {},
        begun_at=float(str(begun["at"])),
        steps_begun=tuple(str(r["step"]) for r in steps if r["kind"] == "step"),
        steps_done=tuple(str(r["step"]) for r in steps if r["kind"] == "done"),
        step_begun=str(last["step"]) if last.get("kind") == "step" else None,
        outcome=str(last["outcome"]) if last.get("kind") == "end" else None,
        announced=_announced(steps, path),
        ever_announced=_announced([r for r in steps if r["kind"] == "keyslot"], path),
    )


def _announced(steps: Sequence[Mapping[str, object]], path: Path) -> tuple[AnnouncedKeyslot, ...]:
    """A step that was done gave its keyslot a token; what it announced is no longer of interest."""
    found: list[tuple[str, AnnouncedKeyslot]] = []
    for record in steps:
        step = str(record.get("step"))
        if record["kind"] == "done":
            found = [(name, keyslot) for name, keyslot in found if name != step]
        elif record["kind"] == "keyslot":
            fields = {f.name: record.get(f.name) for f in dataclasses.fields(AnnouncedKeyslot)}
            if any(type(fields[f.name]) is not f.type for f in dataclasses.fields(AnnouncedKeyslot)):
                raise _unreadable(str(path), f"a keyslot of the step {step} is not described in full")
            found.append((step, AnnouncedKeyslot(**fields)))  # type: ignore[arg-type]
    return tuple(keyslot for _, keyslot in found)


def _line(record: Mapping[str, object]) -> bytes:
    body = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return f"{_checksum(body)} {body}\n".encode()


def _checksum(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def _parse(path: Path, content: bytes) -> tuple[list[dict[str, object]], int]:
    """Return the whole records and the length in bytes that they take; only the last line may be torn."""
    records: list[dict[str, object]] = []
    length = 0
    lines = content.split(b"\n")
    for number, raw in enumerate(lines[:-1], start=1):
        checksum, _, body = raw.decode(errors="replace").partition(" ")
        if checksum != _checksum(body):
            if number == len(lines) - 1 and not _begins_with_a_record(checksum, body):
                break  # torn: the length reached the disk and the bytes did not
            raise _unreadable(str(path), f"line {number} does not match its checksum")
        records.append(json.loads(body))
        length += len(raw) + 1
    return records, length


def _begins_with_a_record(checksum: str, body: str) -> bool:
    """Tell a record that lost its line feed, and whatever came after it, from one that was never written whole."""
    try:
        _, end = json.JSONDecoder().raw_decode(body)
    except ValueError:
        return False
    return checksum == _checksum(body[:end])


def _volume_of(path: Path) -> str:
    """Return the volume that a file's name, VERB-VOLUME-RANDOM.journal, is about."""
    return path.stem.partition("-")[2].rpartition("-")[0]


def _unwritable(path: Path, error: OSError) -> JournalError | NoSpaceError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return durable.no_space(path)
    return JournalError(
        f"The journal {path} cannot be written: {error.strerror}.",
        resolution="No further step was taken. Mend the file system, then run the same command again.",
    )


def _unreadable(where: str, why: str) -> JournalError:
    return JournalError(
        f"The journal of an operation cannot be read ({where}): {why}.",
        resolution="Keep the file, look at `volward status`, and move it away only when the volume is whole.",
    )
