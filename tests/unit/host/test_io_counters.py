from pathlib import Path

from tests.unit.host.fake_host import FakeHost

from volward.host import io_counters
from volward.host.io_counters import IoCounters


def test_since_the_device_came_into_being(tmp_path: Path) -> None:
    host = FakeHost(tmp_path)
    (host.block("dm-3", "253:3") / "stat").write_text("  10  0  80  5  20  0  160  7  1  12  12 0 0 0 0 0 0\n")
    assert io_counters.read("253:3", sysfs=host.sysfs) == IoCounters(10, 40960, 20, 81920, 1, 12)
    assert io_counters.read("9:9", sysfs=host.sysfs) is None
