"""The units that are shipped: how much of the host their programs are exposed to."""

import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "units"


@pytest.mark.parametrize(
    ("name", "most"),  # tenths, of 100 (systemd-analyze(1), "security")
    [
        ("volward.service", 30),
        ("volward-rotate.service", 30),
        ("volward-header-backup.service", 30),
        ("volward-key@.service", 30),
        ("volward-preflight.service", 31),  # it looks at other processes
    ],
)
def test_each_service_is_in_a_tight_sandbox(name: str, most: int) -> None:
    """Each directive that is left open has its reason beside it, in the unit of the daemon."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={most}", UNITS / name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level for " in done.stdout


def test_no_service_is_forgotten() -> None:
    text = Path(__file__).read_text()
    assert all(f'"{path.name}"' in text for path in UNITS.glob("*.service"))
