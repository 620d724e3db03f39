"""status: look at many volumes at once, with one child process (`dmsetup table`) at most and linear effort.

Needs no secret and takes no lock, so that it answers while another volward works.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from volward import journal, logins, openings, pins
from volward.errors import JournalError, VolwardError
from volward.header_backup import files, freshness
from volward.header_backup.freshness import BackupState, Freshness
from volward.host import cgroup, crypt_table, io_counters, mapping, space
from volward.host.cgroup import Running
from volward.host.crypt_table import CryptTable
from volward.journal import Record
from volward.model import MappingState, Observation, Pin, StoreKind, VolumeSpec
from volward.observe import glance
from volward.openings import Opening
from volward.report.volume import Consumer, SeenVolume
from volward.surroundings import Surroundings


def look_at(specs: Sequence[VolumeSpec]) -> tuple[SeenVolume, ...]:
    """Return what is to be told of each volume, in the order given. Raises OSError without /proc and /sys."""
    surroundings = Surroundings()
    records = _Operations()
    looked = [_look(spec, surroundings, records) for spec in specs]
    backups = _Backups()
    tables = _tables() if any(one.seen.mapping.state is not MappingState.ABSENT for one in looked) else _Tables({}, "")
    running = cgroup.look() if any(spec.consumers for spec in specs) else None
    return tuple(_complete(one, tables, running, backups.of(one.spec, one.seen)) for one in looked)


@dataclass(frozen=True)
class _Looked:
    """The first half of a look: everything but what is asked once for all volumes."""

    spec: VolumeSpec
    seen: Observation
    pin_error: str
    operations: tuple[Record, ...]
    operations_error: str


@dataclass(frozen=True)
class _Tables:
    by_name: Mapping[str, CryptTable]
    error: str


class _Operations:
    """Unfinished operations by volume: one listing; file by file only when one of them is damaged."""

    def __init__(self) -> None:
        self._by_volume: dict[str, tuple[Record, ...]] | None = {}
        try:
            for record in journal.unfinished():
                self._by_volume[record.volume] = (*self._by_volume.get(record.volume, ()), record)
        except JournalError:
            self._by_volume = None

    def of(self, volume: str) -> tuple[Record, ...]:
        """Raises JournalError when the volume's own cannot be read."""
        return journal.unfinished(volume) if self._by_volume is None else self._by_volume.get(volume, ())


class _Backups:
    """Header backups by volume: one listing of each directory."""

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, list[Path]]] = {}

    def of(self, spec: VolumeSpec, seen: Observation) -> BackupState | None:
        """None for a scratch volume, which has no header."""
        if spec.store is StoreKind.SCRATCH:
            return None
        directory = spec.header_backups
        try:
            if directory not in self._names:
                self._names[directory] = files.names(directory)
        except OSError as error:
            return BackupState(Freshness.UNKNOWN, error=f"{directory} cannot be read: {error.strerror}.")
        return freshness.judge(self._names[directory].get(spec.name, ()), seen.header)


def _look(spec: VolumeSpec, surroundings: Surroundings, records: _Operations) -> _Looked:
    pin: Pin | None = None
    pin_error = operations_error = ""
    operations: tuple[Record, ...] = ()
    unfinished = None
    try:
        pin = pins.read(spec.name)
    except VolwardError as error:
        pin_error = error.what
    try:
        operations = records.of(spec.name)
        provisioning = [record for record in operations if record.verb == journal.PROVISION]
        unfinished = provisioning[-1].as_unfinished() if provisioning else None
    except VolwardError as error:
        operations_error = error.what
    seen = glance(spec, surroundings, pin=pin, unfinished=unfinished)
    return _Looked(spec, seen, pin_error, operations, operations_error)


def _tables() -> _Tables:
    try:
        return _Tables(crypt_table.tables(), "")
    except (VolwardError, OSError) as error:
        return _Tables({}, f"The table of the mapping is unknown: {error}")


def _complete(
    looked: _Looked, tables: _Tables, running: Running | None, header_backup: BackupState | None
) -> SeenVolume:
    spec, seen = looked.spec, looked.seen
    mapped = seen.mapping
    is_open = mapped.state is not MappingState.ABSENT
    whole = mapped.state is MappingState.ACTIVE and seen.mount is not None and seen.mount.number == mapped.number
    return SeenVolume(
        spec=spec,
        seen=seen,
        at=time.time(),
        pin_error=looked.pin_error,
        operations=looked.operations,
        operations_error=looked.operations_error,
        table=tables.by_name.get(mapped.name) if is_open else None,
        table_error=tables.error if is_open else "",
        io=io_counters.read(mapped.number) if mapped.number else None,
        space=space.of(spec.mount_point, number=mapped.number) if whole and spec.mount_point else None,
        consumers=tuple(Consumer(name, running.of(name)) for name in spec.consumers) if running else (),
        opening=_opening(spec.name, seen),
        header_backup=header_backup,
        login=logins.read(spec.vault.server.address) if spec.vault else None,
    )


def _opening(volume: str, seen: Observation) -> Opening | None:
    """The record counts only for the mapping that it is about; a failure only while the volume is not mounted."""
    last = openings.read(volume)
    if last is None:
        return None
    if last.error:
        in_use = seen.swap_active or (seen.mount is not None and seen.mount.number == seen.mapping.number)
        return None if in_use else last
    return last if last.disk_sequence == mapping.disk_sequence(seen.mapping.number) else None
