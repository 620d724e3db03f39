"""systemd-cryptsetup gets the very bytes of the key, or nothing at all."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.builders import SPEC

from volward.apply import Work
from volward.errors import KeyRequestError, NoOpenerError, UnknownVolumeError
from volward.host import key_request
from volward.operations import serve_key
from volward.secret import SecretBytes

KEY = bytes(range(64))


class Ends:
    """Both ends of a connection; the asking one has the name of a mapping."""

    def __init__(self, directory: Path, mapping: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
            listening.bind(str(directory / "key.sock"))
            listening.listen()
            self.asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.asking.bind(f"\0{os.urandom(8).hex()}/cryptsetup/{mapping}")
            self.asking.connect(listening.getsockname())
            self.answering, _ = listening.accept()

    def received(self) -> bytes:
        self.answering.close()
        found = b""
        while more := self.asking.recv(4096):
            found += more
        return found

    def close(self) -> None:
        self.asking.close()
        self.answering.close()


@pytest.fixture
def ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ends]:
    monkeypatch.setattr(serve_key, "observe", lambda spec, *, to_open: SimpleNamespace())
    monkeypatch.setattr(serve_key, "present_device", lambda spec, seen: SimpleNamespace(node=Path("/dev/vdb")))
    monkeypatch.setattr(Work, "on", classmethod(lambda cls, spec, seen, providers: Held()))
    pair = Ends(tmp_path, SPEC.mapping_name)
    yield pair
    pair.close()


class Held:
    """A work that has nothing in hand."""

    deadline_seconds = 0.0

    def __enter__(self) -> "Held":
        return self

    def __exit__(self, *raised: object) -> None:
        pass


def holding(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> list[float]:
    asked: list[float] = []

    def existing(node: Path, work: Any) -> tuple[Any, int]:
        asked.append(work.deadline_seconds)
        if error:
            raise error
        return SimpleNamespace(key=SecretBytes(KEY), ref=SimpleNamespace(provider="vault")), 0

    monkeypatch.setattr(serve_key, "existing_key", existing)
    return asked


def test_the_key_and_nothing_else(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = holding(monkeypatch)
    assert serve_key.serve(ends.answering, [SPEC], deadline_seconds=30.0) == SPEC.name
    assert ends.received() == KEY
    assert asked == [30.0]


def test_without_a_key_nothing_is_sent(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    holding(monkeypatch, NoOpenerError("Nobody.", resolution="Wait."))
    with pytest.raises(NoOpenerError):
        serve_key.serve(ends.answering, [SPEC], deadline_seconds=30.0)
    assert ends.received() == b""


def test_a_mapping_that_is_no_volume(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    holding(monkeypatch)
    with pytest.raises(UnknownVolumeError, match=f"the key of {SPEC.mapping_name}"):
        serve_key.serve(ends.answering, [], deadline_seconds=30.0)
    assert ends.received() == b""


def test_one_who_went_away(ends: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    holding(monkeypatch)
    request = key_request.KeyRequest(SPEC.mapping_name, 1)
    monkeypatch.setattr(key_request, "read", lambda connection: request)
    ends.asking.close()
    with pytest.raises(KeyRequestError, match="did not take the key"):
        serve_key.serve(ends.answering, [SPEC], deadline_seconds=30.0)
