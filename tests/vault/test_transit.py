"""Keys that the real Transit engine wraps: opened from the ref alone, and what a key's settings do to them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.vault import agent, mounts
from tests.vault.agent import SECONDS
from tests.vault.server import Server

from volward.errors import KeyDeniedError
from volward.keys.source import KeyRef
from volward.keys.vault.session import Session
from volward.keys.vault.transit import TransitSource, wrapped_by


@pytest.fixture
def one(dev_server: Server) -> Iterator[Session]:
    with agent.session(agent.server(dev_server.url), token=dev_server.root_token) as session:
        yield session


def source(one: Session, server: Server, mount: str, files: Path, *, derived: bool = True) -> TransitSource:
    mounts.transit(server.admin, mount, key="volward", derived=derived)
    return agent.transit(one, mount, files)


def create(keys: TransitSource, volume: str = "pgdata") -> KeyRef:
    return keys.create(keys.first_ref(volume), adopt=True, deadline_seconds=SECONDS)


def content(keys: TransitSource, ref: KeyRef) -> bytes:
    with keys.read(ref, deadline_seconds=SECONDS) as key, key.view() as view:
        return bytes(view)


@pytest.mark.parametrize("derived", [True, False])
def test_the_ref_alone_is_enough(one: Session, dev_server: Server, mount: str, tmp_path: Path, derived: bool) -> None:
    keys = source(one, dev_server, mount, tmp_path / "here", derived=derived)
    ref = create(keys)
    assert ("context" in ref.details) is derived
    elsewhere = agent.transit(one, "other-mount", tmp_path / "elsewhere", key="other")
    assert content(elsewhere, ref) == content(keys, keys.first_ref("pgdata"))
    assert len(content(keys, ref)) == 64
    assert create(keys).details == ref.details, "adopted"


def test_a_derived_key_binds_to_the_volume(one: Session, dev_server: Server, mount: str, tmp_path: Path) -> None:
    keys = source(one, dev_server, mount, tmp_path)
    mine, other = create(keys), create(keys, "other")
    swapped = replace(mine, details={**mine.details, "context": other.details["context"]})
    with pytest.raises(KeyDeniedError, match="does not unwrap"):
        content(agent.transit(one, mount, tmp_path / "none"), swapped)


def test_rewrapped_and_the_old_version_retired(one: Session, dev_server: Server, mount: str, tmp_path: Path) -> None:
    keys = source(one, dev_server, mount, tmp_path / "here")
    old = create(keys)
    before = content(keys, old)
    engine = dev_server.admin.secrets.transit
    engine.rotate_key("volward", mount_point=mount)
    fresh = keys.rewrap(old, deadline_seconds=SECONDS)
    assert (wrapped_by(old.details), wrapped_by(fresh.details)) == (1, 2)
    engine.update_key_configuration("volward", min_decryption_version=2, mount_point=mount)
    assert content(keys, fresh) == before
    assert content(keys, old) == before, "the file beside has the newer form"
    with pytest.raises(KeyDeniedError, match="min_decryption_version=1"):
        content(agent.transit(one, mount, tmp_path / "none"), old)


def test_a_missing_transit_key_is_not_made(one: Session, dev_server: Server, mount: str, tmp_path: Path) -> None:
    mounts.transit(dev_server.admin, mount)
    keys = agent.transit(one, mount, tmp_path)
    with pytest.raises(KeyDeniedError, match="no transit key"):
        create(keys)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_wrapped_key(one: Session, dev_server: Server, mount: str, tmp_path: Path) -> None:
    keys = source(one, dev_server, mount, tmp_path / "here")
    ref = create(keys)
    damaged = replace(ref, details={**ref.details, "ciphertext": ref.details["ciphertext"][:-8] + "AAAAAAA="})
    with pytest.raises(KeyDeniedError):
        content(agent.transit(one, mount, tmp_path / "none"), damaged)
