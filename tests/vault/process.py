"""The process of one Vault server: started on a free address of loopback, ended by its id."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from subprocess import Popen
from typing import Self

from tests.lab.errors import LabError
from tests.lab.process import start, stop
from tests.vault import health
from tests.vault.address import Address
from tests.vault.configuration import Configuration
from tests.vault.health import Health
from tests.vault.program import program

# Far beyond what it takes on a busy machine: a time is never what a test is about.
PATIENCE_SECONDS = 180.0
ATTEMPTS = 3
TAKEN = "address already in use"


class Process:
    """What is running, or not, under one configuration."""

    def __init__(self, configuration: Configuration, *, fixed_address: bool) -> None:
        self.configuration = configuration
        self._program = program()
        self._child: Popen[bytes] | None = None
        # An address that somebody has been told of is not exchanged for another.
        self._fixed = fixed_address

    @property
    def log(self) -> str:
        """What it has printed so far, over all its starts."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def health(self) -> Health:
        return health.ask(self.configuration.api, tls=self.configuration.tls is not None)

    def wait_for(self, *wanted: Health) -> Health:
        """Wait until the server is in one of these states, and return it."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while (seen := self.health()) not in wanted:
            if self._child is not None and self._child.poll() is not None:
                raise LabError(f"the Vault server ended with status {self._child.returncode}:\n{self.log[-2000:]}")
            if time.monotonic() > limit:
                raise LabError(f"the Vault server is {seen!r}, not {wanted!r}; it says:\n{self.log[-2000:]}")
            time.sleep(0.05)
        return seen

    def start(self) -> Self:
        """Start the process and wait for its first answer; sealed, except in dev mode."""
        for _ in range(1 if self._fixed else ATTEMPTS):
            try:
                self._start()
            except LabError:
                if TAKEN not in self.log:
                    raise
                host = self.configuration.api.host
                self.configuration = replace(self.configuration, api=Address.free(host), cluster=Address.free(host))
            else:
                self._fixed = True
                return self
        raise LabError(f"another process took the Vault server's address:\n{self.log[-2000:]}")

    def stop(self) -> None:
        """End the process in good order."""
        stop(self._child, grace_seconds=20)
        self._child = None

    def kill(self) -> None:
        """End the process at once, by SIGKILL."""
        stop(self._child)
        self._child = None

    def _start(self) -> None:
        # An environment of its own: VAULT_* and proxy variables of the machine mean nothing to it.
        environment = ["env", "-i", "PATH=/usr/bin:/bin", f"HOME={self.configuration.directory}"]
        words: list[str | Path] = [*environment, self._program.path, *self.configuration.arguments()]
        self._child = start(words, log=self._log, cwd=self.configuration.directory)
        self.wait_for(*(state for state in Health if state is not Health.GONE))

    @property
    def _log(self) -> Path:
        return self.configuration.directory / "server.log"
