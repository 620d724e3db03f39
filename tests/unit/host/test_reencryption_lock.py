import fcntl
import sys
from pathlib import Path

import pytest

from volward.host import reencryption_lock

UUID = "5f407946-de57-47b8-91fb-eb547538bf0a"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc/locks")
def test_it_is_held_as_long_as_its_holder_has_the_file_locked(tmp_path: Path) -> None:
    assert not reencryption_lock.held(UUID, directory=tmp_path)
    with (tmp_path / f"LN_LUKS2-reencryption-{UUID}").open("w") as file:
        assert not reencryption_lock.held(UUID, directory=tmp_path), "left behind"
        fcntl.flock(file, fcntl.LOCK_EX)
        assert reencryption_lock.held(UUID, directory=tmp_path)
    assert not reencryption_lock.held(UUID, directory=tmp_path)


def test_one_who_waits_for_it_does_not_hold_it(tmp_path: Path) -> None:
    file = tmp_path / f"LN_LUKS2-reencryption-{UUID}"
    file.touch()
    locks = tmp_path / "locks"
    inode, device = file.stat().st_ino, file.stat().st_dev
    place = f"{device >> 8 & 0xFFF:02x}:{device & 0xFF:02x}:{inode}"
    locks.write_text(f"1: POSIX  ADVISORY  WRITE 7 {place} 0 EOF\n2: -> FLOCK  ADVISORY  WRITE 8 {place} 0 EOF\n")
    assert not reencryption_lock.held(UUID, directory=tmp_path, locks=locks)


def test_what_cannot_be_read_is_not_taken_for_free(tmp_path: Path) -> None:
    (tmp_path / f"LN_LUKS2-reencryption-{UUID}").touch()
    with pytest.raises(OSError):
        reencryption_lock.held(UUID, directory=tmp_path, locks=tmp_path / "none")
