"""hvac clients of one server, closed together: an unclosed connection is an error of the test run."""

from __future__ import annotations

from pathlib import Path

import hvac
from tests.vault.certificates import Certificate


class Clients:
    """Makes clients for the server at `url` that trust the CA in `ca_file`."""

    def __init__(self, ca_file: Path | None) -> None:
        self._ca_file = ca_file
        self._made: list[hvac.Client] = []

    def make(
        self,
        url: str,
        token: str | None,
        *,
        certificate: Certificate | None,
        ca_file: Path | None,
        timeout_seconds: float,
    ) -> hvac.Client:
        """A client with these credentials. Nothing of the machine's environment gets into it."""
        trusted = ca_file or self._ca_file
        client = hvac.Client(
            url=url,
            # None would make it look for the token of whoever runs the tests.
            token=token or "",
            cert=certificate.pair if certificate else None,
            verify=str(trusted) if trusted else True,
            timeout=timeout_seconds,
        )
        # No proxy, no bundle of certificates, no .netrc from the environment.
        client.adapter.session.trust_env = False
        self._made.append(client)
        return client

    def close(self) -> None:
        for client in self._made:
            client.adapter.close()
        self._made.clear()
