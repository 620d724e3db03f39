"""A header backup's facts and recipients, small enough for many tests."""

from dataclasses import replace

from tests.unit.builders import IDENTITY, UUID

from volward.header_backup import sealing
from volward.header_backup.facts import Facts, KeyslotFacts, Kind, Recipient
from volward.keys.source import KeyRef
from volward.model import ProviderKind
from volward.secret import SecretBytes

AREA = bytes(range(256)) * 64
REF = KeyRef(ProviderKind.CREDENTIAL, "volward.pgdata.header", 1)
FACTS = Facts(
    kind=Kind.BACKUP,
    volume="pgdata",
    identity=IDENTITY,
    luks_uuid=UUID,
    sequence=4,
    checksums=("ab", "cd"),
    area_bytes=len(AREA),
    digest=sealing.digest(AREA),
    created_at=1_764_109_263,
    made_by="volward 0.1.0",
    keyslots=(KeyslotFacts(0, "pbkdf2", "credential", "volward.pgdata", 1, "f" * 32), KeyslotFacts(1, "argon2id")),
    recipients=(),
)


def sealed_file(key: SecretBytes, facts: Facts = FACTS, area: bytes = AREA) -> bytes:
    """The content of a file that a provider's ``key`` opens."""
    with SecretBytes.random(sealing.DATA_KEY_BYTES) as data_key:
        recipient = sealing.for_source(data_key, REF, key, luks_uuid=facts.luks_uuid)
        return sealing.seal(area, replace(facts, recipients=(*facts.recipients, recipient)), data_key)


def opened(sealed: sealing.Sealed, recipient: Recipient, key: SecretBytes) -> bytes:
    """The header area, by a key of that recipient."""
    with sealing.data_key(recipient, key, luks_uuid=sealed.facts.luks_uuid) as data_key:
        return sealing.unseal(sealed, data_key)
