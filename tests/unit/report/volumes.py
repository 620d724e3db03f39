"""Volumes as status sees them; a test varies them by `volume(seen=…, …)`."""

from dataclasses import replace

from tests.unit import builders

from volward.host.crypt_table import CryptTable
from volward.host.io_counters import IoCounters
from volward.host.space import Space
from volward.journal import Record
from volward.model import MIB, Observation, Presence, VolumeSpec
from volward.openings import Opening
from volward.report.volume import Consumer, SeenVolume

TABLE = CryptTable(
    name="volward-pgdata",
    cipher="aes-xts-plain64",
    key_bits=512,
    key_in_keyring=True,
    backing_number="252:16",
    offset_bytes=16 * MIB,
    size_bytes=2032 * MIB,
    flags=("sector_size:4096",),
)
SPACE = Space(2000 * MIB, 300 * MIB, 1600 * MIB, 131072, 1200)
WHOLE = SeenVolume(
    spec=builders.SPEC,
    seen=builders.PERFECT,
    table=TABLE,
    io=IoCounters(10, 40960, 3, 12288, 0, 1500),
    space=SPACE,
    consumers=(Consumer("postgresql@17-main.service", Presence.PRESENT),),
    opening=Opening(at=1_700_000_000.0, by="credential", disk_sequence="7"),
)
CUT = Record(
    operation="provision-pgdata-0123abcd",
    verb="provision",
    volume="pgdata",
    facts={},
    begun_at=1_700_000_000.0,
    steps_begun=("pin", "format"),
    steps_done=("pin",),
    step_begun="format",
    outcome=None,
)


def volume(
    seen: Observation = builders.PERFECT, *, spec: VolumeSpec = builders.SPEC, opening: Opening | None = WHOLE.opening
) -> SeenVolume:
    """The whole volume with another observation; what only an open mapping has is left out of a closed one."""
    is_open = seen.mapping.node is not None
    return replace(
        WHOLE,
        spec=spec,
        seen=seen,
        opening=opening if is_open or (opening and opening.error) else None,
        table=TABLE if is_open else None,
        io=WHOLE.io if is_open else None,
        space=SPACE if is_open and seen.mount else None,
    )
