"""SecretBytes: prints nothing, is copied nowhere, and is really wiped."""

import copy
import mmap
import os
import pickle
from pathlib import Path

import pytest

from volward import secret as module
from volward.secret import SecretBytes

KEY = b"correct horse battery staple"


@pytest.mark.parametrize("text", [str, repr, "{}".format, "{:>30}".format, "%s".__mod__])
def test_prints_as_stars(text: object) -> None:
    with SecretBytes(KEY) as secret:
        assert text(secret) == "***"  # type: ignore[operator]
        assert "horse" not in f"{secret!r}{[secret]}"


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_takes_every_buffer(kind: type) -> None:
    with SecretBytes(kind(KEY)) as secret, secret.view() as view:
        assert bytes(view) == KEY
        assert len(secret) == len(KEY)


def test_wipes_the_bytearray_that_it_took() -> None:
    source = bytearray(KEY)
    SecretBytes(source).wipe()
    assert source == bytes(len(KEY))


@pytest.mark.parametrize("length", [0, 8 * 1024 * 1024 + 1])
def test_refuses_impossible_lengths(length: int) -> None:
    with pytest.raises(ValueError, match="between 1 byte and 8 MiB"):
        SecretBytes(bytes(length))


def test_more_than_a_page() -> None:
    value = os.urandom(3 * mmap.PAGESIZE + 1)
    with SecretBytes(value) as secret, secret.view() as view:
        assert bytes(view) == value


def test_wiping_overwrites_what_a_view_still_shows() -> None:
    secret = SecretBytes(KEY)
    view = secret.view()
    secret.wipe()
    assert bytes(view) == bytes(len(KEY))
    assert secret.wiped
    view.release()


def test_wiping_twice_is_harmless_and_ends_all_use() -> None:
    with SecretBytes(KEY) as secret:
        secret.wipe()
    assert len(secret) == 0
    with pytest.raises(ValueError, match="wiped already"):
        secret.view()


def test_random_secrets_differ() -> None:
    with SecretBytes.random(64) as one, SecretBytes.random(64) as other:
        assert not one.matches(other)
        with one.view() as view:
            assert bytes(view) != bytes(64)


def test_a_starved_generator_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    short = tmp_path / "urandom"
    short.write_bytes(b"abc")
    monkeypatch.setattr(module, "Path", lambda _: short)
    with pytest.raises(OSError, match="too little"):
        SecretBytes.random(64)


def test_filled_wipes_what_was_written_before_it_failed() -> None:
    seen: list[memoryview] = []

    def fill(window: memoryview) -> None:
        window[:3] = b"abc"
        seen.append(window[:])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SecretBytes.filled(8, fill)
    assert bytes(seen[0]) == bytes(8)
    seen[0].release()


def test_matches() -> None:
    with SecretBytes(KEY) as one, SecretBytes(KEY) as same, SecretBytes(KEY + b"\n") as other:
        assert one.matches(same)
        assert not one.matches(other)


def test_is_neither_copied_hashed_nor_compared() -> None:
    with SecretBytes(KEY) as secret:
        for action in (copy.copy, copy.deepcopy, pickle.dumps, hash):
            with pytest.raises(TypeError):
                action(secret)
        with pytest.raises(TypeError, match="matches"):
            _ = secret == KEY


def test_the_memory_is_locked_and_left_out_of_dumps_and_forks() -> None:
    with SecretBytes(bytes(mmap.PAGESIZE) + KEY) as secret, secret.view() as view:
        import ctypes

        address = ctypes.addressof(ctypes.c_char.from_buffer(view))
        flags = _flags_of_mapping(address)
    assert {"dd", "dc"} <= flags


def _flags_of_mapping(address: int) -> set[str]:
    """Read VmFlags of the mapping that holds the address (proc(5), smaps): dd = no dump, dc = no copy at fork."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, _, rest = line.partition(" ")
        if "-" in first and not first.endswith(":"):
            start, _, end = first.partition("-")
            inside = int(start, 16) <= address < int(end, 16)
        elif inside and first == "VmFlags:":
            return set(rest.split())
    raise AssertionError("the mapping is not in smaps")


def test_a_forked_child_gets_an_error_and_no_key() -> None:
    secret = SecretBytes(KEY)
    child = os.fork()
    if child == 0:
        status = 1
        try:
            secret.view()
        except ValueError:
            secret.wipe()
            status = 0 if secret.wiped else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with secret, secret.view() as view:
        assert bytes(view) == KEY


def test_the_owner_check_of_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = SecretBytes(KEY)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    with pytest.raises(ValueError, match="forked"):
        secret.view()
    secret.wipe()
    assert secret.wiped
