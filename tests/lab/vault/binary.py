"""The server's binary: `vault` or `bao` from PATH, else built here from Vault's published Go module.

No Debian package and no wheel carries one. go.mod pins a pair of versions that compile together (Vault's own tree
replaces its sdk with a copy that lies between the published ones): never run `go mod tidy` here, it raises sdk to
a version that does not compile.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache
from tests.lab.errors import LabUnavailableError
from tests.lab.process import run
from tests.lab.progress import step
from tests.lab.vault import go

SOURCES = ("main.go", "go.mod", "go.sum", "discover")
KIND = "vault"
ON_PATH = ("vault", "bao")
# Leaves out the plug-ins for clouds and databases; two of them fail the verification of their checksums besides.
TAGS = "minimal"


@dataclass(frozen=True)
class Binary:
    """A server that can be started: `origin` says where it comes from, for the header of a test run."""

    path: Path
    origin: str

    @property
    def version(self) -> str:
        """What it says it is, such as `Vault v1.21.2`; one built here does not know its commit."""
        first = run([self.path, "version"], timeout_seconds=60).decode().splitlines()[0]
        return " ".join(first.split()[:2]).rstrip(",")

    def __str__(self) -> str:
        return f"{self.version} ({self.origin})"


def find() -> Binary:
    """The server that tests run; raises LabUnavailableError if there is none and none has been built."""
    found = installed()
    if found:
        return found
    built = cache.entry(KIND, _key()) / "vault"
    if not built.exists():
        raise LabUnavailableError("no Vault server is built or installed: run `python3 -m tests.lab vault`")
    return _built(built)


def ensure() -> Binary:
    """The same, built if it is missing: three to five minutes, most of them the compiler's."""
    return installed() or _built(cache.ensure(KIND, _key(), _build) / "vault")


def installed() -> Binary | None:
    """The server of this machine's PATH, if it has one: then nothing is built."""
    paths = [found for name in ON_PATH if (found := shutil.which(name))]
    return Binary(Path(paths[0]), "found on PATH") if paths else None


def _built(path: Path) -> Binary:
    return Binary(path, "built from its Go module")


def _key() -> str:
    files = cache.key_of_files([go.MODULE / name for name in SOURCES], relative_to=go.MODULE)
    return cache.key_of(files, go.version(), TAGS)


def _build(directory: Path) -> None:
    with step("the Vault server, fetched and compiled (minutes, the first time)"):
        run(
            [
                # Whoever waits for something else on this machine comes first.
                *("nice", "-n", "10", "go", "build", "-mod=readonly", "-buildvcs=false", "-trimpath"),
                *("-tags", TAGS, "-ldflags", "-s -w", "-o", directory / "vault", "."),
            ],
            cwd=go.MODULE,
            env=go.environment(),
        )
    run([directory / "vault", "version"], timeout_seconds=60)
