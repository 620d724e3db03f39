"""A LUKS2 header as it was read: its copies, keyslots and tokens, and the keyslots that an operation announced."""

from collections.abc import Iterable
from collections.abc import Mapping as ReadOnlyMapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

SUBSYSTEM = "volward"  # of every header that volward makes, beside the label that names the volume


class CopyState(StrEnum):
    """One of the two copies of a LUKS2 header."""

    VALID = "valid"
    DAMAGED = "damaged"  # magic is there, checksum or JSON is not right
    STALE = "stale"  # whole, but older than the other copy: an update was cut between the two
    ABSENT = "absent"
    UNKNOWN = "unknown"  # could not be read


@dataclass(frozen=True)
class Keyslot:
    number: int
    kdf: str  # pbkdf2, argon2id, argon2i
    iterations: int  # pbkdf2 iterations or argon2 time cost
    memory_kib: int  # 0 for pbkdf2
    lanes: int  # 0 for pbkdf2
    key_bits: int
    priority: int  # 0 ignore, 1 normal, 2 prefer
    opens_data: bool = True  # False: unbound, or the working area of a re-encryption; never counts as a way to open
    kdf_hash: str = ""  # of pbkdf2; "" for Argon2


@dataclass(frozen=True)
class AnnouncedKeyslot:
    """A keyslot as an enrolment was going to write it, journaled before it did.

    Number and cost together prove a keyslot to be ours: its owner's own `luksAddKey` in the same place has
    another cost (the memory of an announced Argon2id is an odd number of KiB on purpose, and
    systemd-cryptenroll alone takes PBKDF2 with SHA-512 and 1000 iterations).
    """

    number: int
    kdf: str
    iterations: int
    memory_kib: int = 0
    lanes: int = 0
    kdf_hash: str = ""

    def became(self, keyslot: Keyslot) -> bool:
        """Whether that keyslot is the one which was announced."""
        mine = (self.number, self.kdf, self.iterations, self.memory_kib, self.lanes, self.kdf_hash)
        found = (keyslot.number, keyslot.kdf, keyslot.iterations, keyslot.memory_kib, keyslot.lanes, keyslot.kdf_hash)
        return mine == found


@dataclass(frozen=True)
class Token:
    """A LUKS2 token; ``fields`` is its JSON object (never a secret: headers are readable by root tools)."""

    number: int
    type: str  # "volward", "systemd-tpm2", "systemd-recovery", "clevis", ...
    keyslots: tuple[int, ...]
    fields: ReadOnlyMapping[str, object] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    @property
    def provider(self) -> str:
        """Whose key opens the keyslot, where volward's own token says so; "" otherwise."""
        own = self.fields.get("volward")
        return str(own.get("provider", "")) if self.type == "volward" and isinstance(own, ReadOnlyMapping) else ""

    @property
    def opened_by(self) -> str:
        """The provider that opens the keyslot; also where a token of systemd's is parked in one of volward's."""
        return "tpm2" if self.type in ("systemd-tpm2", "volward-parked") else self.provider

    @property
    def is_plain_tpm2(self) -> bool:
        """A TPM token as volward enrols it: no PIN, no policy of systemd-pcrlock(8)."""
        return self.type == "systemd-tpm2" and not any(self.fields.get(name) for name in ("tpm2-pin", "tpm2_pcrlock"))

    @property
    def confirmed_recovery(self) -> bool:
        """The keyslot's recovery key is with its owner (shown and typed back, or handed to an escrow)."""
        own = self.fields.get("volward")
        return self.provider == "recovery" and isinstance(own, ReadOnlyMapping) and own.get("confirmed") is True


@dataclass(frozen=True)
class Header:
    """A LUKS2 header as read by volward's own parser (LUKS2 On-Disk Format Specification 1.1.2)."""

    uuid: str
    label: str
    subsystem: str
    sequence: int
    primary: CopyState
    secondary: CopyState
    cipher: str
    key_bits: int
    sector_size_bytes: int
    data_offset_bytes: int
    keyslots: tuple[Keyslot, ...]
    tokens: tuple[Token, ...]
    requirements: tuple[str, ...] = ()  # "online-reencrypt-v2", ...
    flags: tuple[str, ...] = ()  # persistent activation flags
    digests: int = 1
    volume_key_digest: str = ""  # of the key that the data are under, as the header has it (base64); "": not one
    checksums: tuple[str, ...] = ()  # of the copies that are whole and alike, in hex; every update changes them
    area_bytes: int = 0  # both copies and the keyslots behind them: what a header backup holds
    cut_in_hot_zone: bool = False  # a re-encryption was killed within a part of the data; that is recovered first
    cut_at_the_end: bool = False  # it was killed when all data were done: host/reencryption_end.py ends it

    @property
    def damaged(self) -> bool:
        return not (self.primary is CopyState.VALID and self.secondary is CopyState.VALID)

    @property
    def reencrypting(self) -> bool:
        """Whether a re-encryption has begun and not ended."""
        return any("reencrypt" in requirement for requirement in self.requirements)

    def token_of(self, keyslot: int, kind: str) -> Token | None:
        """Return the first token of that type which names the keyslot."""
        return next((t for t in self.tokens if t.type == kind and keyslot in t.keyslots), None)

    def filled(self, announced: Iterable[AnnouncedKeyslot]) -> tuple[int, ...]:
        """Return the keyslots that are there as they were announced."""
        wanted = tuple(announced)
        return tuple(keyslot.number for keyslot in self.keyslots if any(one.became(keyslot) for one in wanted))

    def orphans(self, announced: Iterable[AnnouncedKeyslot]) -> tuple[int, ...]:
        """Return the keyslots that an unfinished enrolment left without a token: nobody has their key."""
        described = {number for token in self.tokens for number in token.keyslots}
        return tuple(number for number in self.filled(announced) if number not in described)
