from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.unit.host.fake_host import FakeHost

from volward.host import crypt_table, run
from volward.host.crypt_table import CryptTable

TABLE = (
    """volward-pg: 0 4161536 crypt aes-xts-plain64 :64:logon:cryptsetup:5f407946-d0 0 252:16 32768 \
2 allow_discards sector_size:4096
volward-x: 0 2048 crypt aes-xts-plain64 """
    + "0" * 64
    + """ 0 7:0 4096
garbage
"""
)


def test_one_call_reads_all_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = FakeHost(tmp_path)
    calls: list[Sequence[run.Word]] = []

    def read(argv: Sequence[run.Word], **_: object) -> run.Completed:
        calls.append(argv)
        return run.Completed((), 0, TABLE, "")

    monkeypatch.setattr(run, "read", read)
    assert crypt_table.tables(sysfs=host.sysfs) == {} and calls == []
    host.block("dm-3", "253:3")
    found = crypt_table.tables(sysfs=host.sysfs)
    assert calls == [["dmsetup", "table", "--target", "crypt"]]
    assert found["volward-pg"] == CryptTable(
        "volward-pg", "aes-xts-plain64", 512, True, "252:16", 16 * 1024 * 1024, 4161536 * 512,
        ("allow_discards", "sector_size:4096"),
    )  # fmt: skip
    assert (found["volward-x"].key_bits, found["volward-x"].key_in_keyring, found["volward-x"].flags) == (
        256,
        False,
        (),
    )
    assert set(found) == {"volward-pg", "volward-x"}
