"""A raft cluster of three servers on three loopback addresses: real standby answers, a real change of leader."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab.errors import LabError
from tests.vault.address import Address
from tests.vault.certificates import Authority
from tests.vault.health import Health
from tests.vault.process import PATIENCE_SECONDS
from tests.vault.server import Server

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")
UP = (Health.ACTIVE, Health.STANDBY)
_TERM_SECONDS = 15.0  # a node that stepped down stands aside for ten


class Cluster:
    """As a context manager: three nodes, unsealed, one of them the leader. All have the same keys and CA."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        addresses = [Address.free(host) for host in HOSTS]
        peers = tuple(f"https://{address}" for address in addresses)
        self.nodes = [
            Server(directory / f"node-{number}", authority=authority, address=address, peers=peers)
            for number, address in enumerate(addresses, start=1)
        ]

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    @property
    def leader(self) -> Server:
        """The active node; waited for, when there is none at the moment."""
        limit = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < limit:
            for node in self.nodes:
                if node.health() is Health.ACTIVE:
                    return node
            time.sleep(0.05)
        raise LabError(f"the cluster has no leader; its first node says:\n{self.nodes[0].log[-2000:]}")

    @property
    def standbys(self) -> list[Server]:
        return [node for node in self.nodes if node.health() is Health.STANDBY]

    def step_down(self) -> Server:
        """Let the leader give up its place, wait for the next one, and return that.

        A slow one may not stand for election in time: then the same node leads again, and is asked again.
        """
        limit = time.monotonic() + 3 * PATIENCE_SECONDS
        before = self.leader
        while time.monotonic() < limit:
            self.wait_for_votes()
            before.admin.sys.step_down()
            asked_again = time.monotonic() + _TERM_SECONDS
            while time.monotonic() < asked_again:
                if (now := self.leader) is not before:
                    return now
                time.sleep(0.05)
        raise LabError("the cluster chose the same leader again and again")

    def wait_for_votes(self) -> None:
        """A node that has joined has no vote until one leader has seen it to be stable, for ten seconds in a row.

        Without a vote it takes over from nobody (https://developer.hashicorp.com/vault/docs/concepts/integrated-storage).
        """
        limit = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < limit:
            servers = self.leader.admin.sys.read_raft_config()["data"]["config"]["servers"]
            if sum(one["voter"] for one in servers) == len(self.nodes):
                return
            time.sleep(0.5)
        raise LabError(f"not every node has a vote: {servers}")

    def unseal(self) -> None:
        """Unseal every node that runs and is sealed."""
        for node in self.nodes:
            if node.health() is Health.SEALED:
                node.unseal(wait_for=UP)

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def __enter__(self) -> Self:
        try:
            self._form()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _form(self) -> None:
        first, *others = self.nodes
        for node in self.nodes:
            node.start()
        first.initialise()
        first.unseal()
        for node in others:
            node.root_token, node.unseal_keys = first.root_token, first.unseal_keys
            # It has asked the first node to let it in, and is sealed from then on.
            node.wait_for(Health.SEALED)
            node.unseal(wait_for=UP)
