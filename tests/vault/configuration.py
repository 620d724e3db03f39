"""The configuration of one server, as the JSON file and the command line that `vault server` takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tests.vault.address import Address
from tests.vault.certificates import Authority, Certificate

DEV_TOKEN = "root"


class Storage(StrEnum):
    """Where a server keeps its data: nowhere (dev mode: unsealed at once), or in raft's log on the disk.

    The server that the lab builds has no other kind (its `minimal` tag leaves out "file").
    """

    DEV = "dev"
    RAFT = "raft"


@dataclass(frozen=True)
class Tls:
    """What a server shows, and the CA that it was issued by."""

    authority: Authority
    certificate: Certificate


@dataclass(frozen=True)
class Configuration:
    """All that a server needs to start. `peers` are the URLs of a raft cluster's nodes."""

    storage: Storage
    directory: Path
    api: Address
    cluster: Address
    tls: Tls | None
    peers: Sequence[str] = ()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.api}"

    def arguments(self) -> list[str]:
        """The words after `vault`; the configuration file is written for it."""
        if self.storage is Storage.DEV:
            listen = f"-dev-listen-address={self.api}"
            return ["server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={DEV_TOKEN}", listen]
        file = self.directory / "config.json"
        file.write_text(json.dumps(self._table(), indent=2))
        return ["server", f"-config={file}"]

    def _table(self) -> dict[str, object]:
        listener: dict[str, object] = {"address": str(self.api), "cluster_address": str(self.cluster)}
        if self.tls is None:
            listener["tls_disable"] = True
        else:
            listener["tls_cert_file"], listener["tls_key_file"] = self.tls.certificate.pair
        return {
            "storage": {"raft": self._raft()},
            "listener": [{"tcp": listener}],
            "api_addr": self.url,
            "cluster_addr": f"https://{self.cluster}",
            "disable_mlock": True,
            "ui": False,
            "log_level": "info",
        }

    def _raft(self) -> dict[str, object]:
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        # The fastest election; the default allows for slow networks.
        table: dict[str, object] = {"path": str(data), "node_id": str(self.api), "performance_multiplier": 1}
        others = [peer for peer in self.peers if peer != self.url]
        if others:
            trust = {"leader_ca_cert_file": str(self.tls.authority.ca_file)} if self.tls else {}
            table["retry_join"] = [{"leader_api_addr": peer, **trust} for peer in others]
        return table
