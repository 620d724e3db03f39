"""The units that are shipped: how much of the host their programs are exposed to."""

import json
import subprocess
from pathlib import Path

import pytest

_ALLOWED = ("CapabilityBoundingSet", "RestrictAddressFamilies")  # lists of what is let in, each with its own reason
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
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={most}", UNITS / name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level for " in done.stdout


def test_each_directive_that_is_left_open_has_its_reason_beside_it() -> None:
    """In the unit of the daemon; the others have its sandbox, and say where they differ."""
    unit = UNITS / "volward.service"
    lines = unit.read_text().splitlines()
    reasons = "\n".join(line for line in lines if line.startswith("#"))
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--json=short", unit],
        capture_output=True,
        text=True,
        check=True,
    )
    left_open = {found["name"] for found in json.loads(done.stdout) if found["set"] is False}
    assert "PrivateNetwork=" in left_open
    for name in left_open:
        directive, _, what = name.partition("=")
        if directive in _ALLOWED:
            continue
        assert (what[1:] if what.startswith("~") else f"{directive}=") in reasons, name
    for directive in _ALLOWED:
        (allowed,) = (line.split("=")[1] for line in lines if line.startswith(f"{directive}="))
        for one in allowed.split():
            assert one in reasons, f"{directive}={one}"


def test_no_service_is_forgotten() -> None:
    text = Path(__file__).read_text()
    assert all(f'"{path.name}"' in text for path in UNITS.glob("*.service"))
