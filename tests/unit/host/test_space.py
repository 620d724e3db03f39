"""Space of the file system that is meant, and of no other."""

import os
from pathlib import Path

from volward.host import space
from volward.host.space import Space


def test_space_is_told_of_the_right_file_system_alone(tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    found = space.of(tmp_path, number=f"{os.major(device)}:{os.minor(device)}")
    assert found and found.total_bytes >= found.used_bytes >= 0
    assert space.of(tmp_path, number="253:99") is None
    assert space.of(tmp_path / "nowhere", number="253:99") is None


def test_percent_is_of_what_users_can_have_and_rounded_up() -> None:
    assert Space(1000, 301, 500, 10, 1).used_percent == 38
    assert Space(0, 0, 0, 0, 0).used_percent == 0
    assert Space(1000, 0, 1000, 1000, 1).inodes_percent == 1
    assert Space(1000, 0, 1000, 0, 0).inodes_percent == 0
