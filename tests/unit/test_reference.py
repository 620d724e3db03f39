"""The generated reference pages say what the code says."""

import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def test_the_reference_pages_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docs.reference.generate", "--check"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(CHECKOUT / "agent"), "PATH": "/usr/bin:/bin"},
        check=False,
    )
    assert done.returncode == 0, f"run `python -m docs.reference.generate`: {done.stdout}{done.stderr}"
