"""The units that are shipped: how much of the host the daemon is exposed to."""

import subprocess
from pathlib import Path

UNITS = Path(__file__).parents[2] / "units"
MOST_EXPOSED = 30  # tenths, of 100 (systemd-analyze(1), "security")


def test_the_daemon_is_in_a_tight_sandbox() -> None:
    """Each directive that is left open has its reason beside it, in the unit."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", f"--threshold={MOST_EXPOSED}", UNITS / "volward.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Overall exposure level for volward.service" in done.stdout
