"""The prologue: it comes back as it was, and damage is an error and never a guess."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.builders import HEADER, keyslot
from tests.unit.header_backup.builders import FACTS, REF

from volward.errors import HeaderBackupError
from volward.header_backup import facts
from volward.header_backup.facts import KeyslotFacts, Recipient
from volward.keys import header_token, recovery_pair
from volward.keys.header_token import HeaderToken
from volward.keys.source import KeyRef
from volward.model import ProviderKind, Token

WHOLE = replace(FACTS, recipients=(Recipient(replace(REF, details={"mount": "kv"}), "c2VhbGVk"),))


def test_it_comes_back_as_it_was() -> None:
    back = facts.from_json(facts.to_json(WHOLE), name="x")
    assert back == WHOLE
    assert back.recipients[0].ref.details == {"mount": "kv"}


def test_what_a_newer_volward_adds_is_ignored() -> None:
    body = json.loads(facts.to_json(WHOLE)) | {"colour": "blue"}
    assert facts.from_json(json.dumps(body), name="x") == WHOLE


def test_a_newer_format_is_said_to_be_newer() -> None:
    body = json.loads(facts.to_json(WHOLE)) | {"format": 2}
    with pytest.raises(HeaderBackupError, match="format 2"):
        facts.from_json(json.dumps(body), name="x")


WRONG: list[tuple[str, Any]] = [
    ("kind", "other"),
    ("volume", 3),
    ("volume", "a\x1b[2J"),
    ("identity", {}),
    ("identity", {"device_class": "disk", "size_bytes": 1, "colour": "blue"}),
    ("sequence", -1),
    ("sequence", True),
    ("checksums", [1]),
    ("created_at", facts.LATEST + 1),
    ("created_at", 10**30),
    ("area_bytes", 0),
    ("area_bytes", facts.LARGEST_AREA_BYTES + 1),
    ("keyslots", [{}]),
    ("keyslots", 3),
    ("recipients", [{"provider": "nobody"}]),
    ("recipients", ["x"]),
    ("format", None),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_a_wrong_field_is_damage(key: str, value: object) -> None:
    body = json.loads(facts.to_json(WHOLE)) | {key: value}
    with pytest.raises(HeaderBackupError, match="x"):
        facts.from_json(json.dumps(body), name="x")


@pytest.mark.parametrize("line", ["", "[]", "null", "{}", "[" * 5000])
def test_what_is_no_prologue(line: str) -> None:
    with pytest.raises(HeaderBackupError):
        facts.from_json(line, name="x")


@given(st.text())
def test_any_text_is_a_prologue_or_an_error(text: str) -> None:
    with pytest.raises(HeaderBackupError):
        facts.from_json(text, name="x")


def test_a_header_is_known_by_its_checksum_and_sequence() -> None:
    header = replace(HEADER, checksums=("cd", "xy"))
    assert FACTS.is_of(header)
    assert not FACTS.is_of(replace(header, checksums=("ef",)))
    assert not FACTS.is_of(replace(header, sequence=5))
    assert not FACTS.is_of(replace(header, uuid="other"))


def test_whose_keys_are_in_it() -> None:
    ref = KeyRef(ProviderKind.CREDENTIAL, "volward.pgdata", 3)
    body = json.loads(header_token.build(HeaderToken("pgdata", ref, (0,), "f" * 32)))
    tokens = (Token(0, "volward", (0,), body), Token(1, "systemd-tpm2", (2,)))
    working_area = replace(keyslot(5), opens_data=False)
    header = replace(HEADER, keyslots=(keyslot(0), keyslot(1), keyslot(2), working_area), tokens=tokens)
    found = facts.keyslots_of(header)
    assert found == (
        KeyslotFacts(0, "pbkdf2", "credential", "volward.pgdata", 3, "f" * 32),
        KeyslotFacts(1, "pbkdf2"),
        KeyslotFacts(2, "pbkdf2", "tpm2"),
    )
    assert replace(FACTS, keyslots=found).has_key("f" * 32)
    assert not replace(FACTS, keyslots=found).has_key("0" * 32)


def test_a_hostile_token_makes_no_backup_unreadable() -> None:
    ref = KeyRef(ProviderKind.CREDENTIAL, "vol\x1b[2J\n", 3)
    body = json.loads(header_token.build(HeaderToken("pgdata", ref, (0,), "f\u202ef")))
    header = replace(HEADER, keyslots=(replace(keyslot(0), kdf="pb\x00"),), tokens=(Token(0, "volward", (0,), body),))
    (found,) = facts.keyslots_of(header)
    assert (found.key, found.fingerprint, found.kdf) == ("vol\ufffd[2J\ufffd", "f\ufffdf", "pb\ufffd")
    whole = replace(WHOLE, keyslots=(found,))
    assert facts.from_json(facts.to_json(whole), name="x") == whole


def test_by_what_a_key_is_known_in_a_backup() -> None:
    ref = KeyRef(ProviderKind.RECOVERY, "pgdata.recovery", 1, {recovery_pair.PUBLIC: "cHVibGlj"})
    assert facts.mark_of(HeaderToken("pgdata", REF, (0,), "f" * 32)) == "f" * 32
    assert facts.mark_of(HeaderToken("pgdata", ref, (1,))) == "cHVibGlj"
    assert facts.mark_of(HeaderToken("pgdata", replace(ref, details={}), (1,))) == ""
    both = replace(WHOLE, recipients=(*WHOLE.recipients, Recipient(ref, "x"), Recipient(replace(ref, details={}), "x")))
    assert both.marks == {"f" * 32, "cHVibGlj"}
    assert both.has_key("cHVibGlj") and not WHOLE.has_key("cHVibGlj") and not WHOLE.has_key("")
