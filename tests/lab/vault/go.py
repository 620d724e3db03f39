"""The Go compiler that builds the server: go(1) from PATH, or the newer one that it fetches for go.mod."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from tests.lab.errors import LabError, LabUnavailableError
from tests.lab.process import run

MODULE = Path(__file__).resolve().parent
# The first that fetches the toolchain which go.mod asks for.
OLDEST = (1, 21)


def environment() -> dict[str, str]:
    """This process's, but: no C, so that the binary is static and runs in any guest; a newer Go where needed."""
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "auto"}


def is_usable() -> bool:
    """Whether there is a Go on PATH that can build the server, or fetch the one that can."""
    if shutil.which("go") is None:
        return False
    try:
        # Outside of the module, it names itself and fetches nothing.
        text = run(["go", "version"], cwd=Path("/"), env={**os.environ, "GOTOOLCHAIN": "local"}).decode()
    except LabError:
        return False
    found = re.search(r"go(\d+)\.(\d+)", text)
    return found is not None and (int(found[1]), int(found[2])) >= OLDEST


def version() -> str:
    """The compiler that go.mod makes it use, such as `go1.26.0`; it is fetched if it is not there."""
    if not is_usable():
        raise LabUnavailableError(
            "building the Vault server needs Go {}.{} or newer: run `python3 -m tests.lab vault`".format(*OLDEST)
        )
    return run(["go", "env", "GOVERSION"], cwd=MODULE, env=environment()).decode().strip()
