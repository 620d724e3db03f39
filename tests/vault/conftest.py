"""Servers for tests: shared ones that every test leaves as it found them, and one of its own for a test that breaks it.

A test of a shared server works under a mount path of its own: `mount` gives it one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.vault.certificates import Authority
from tests.vault.cluster import Cluster
from tests.vault.configuration import Storage
from tests.vault.proxy import Proxy
from tests.vault.server import Server

HERE = Path(__file__).parent
_numbers = count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.vault)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The private CA that all servers and clients of the run are issued by."""
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def dev_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A shared server in dev mode: plain HTTP, never sealed."""
    with Server(tmp_path_factory.mktemp("dev"), storage=Storage.DEV) as server:
        yield server


@pytest.fixture(scope="session")
def tls_server(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Server]:
    """A shared server with TLS, its data on the disk."""
    with Server(tmp_path_factory.mktemp("tls"), authority=authority) as server:
        yield server


@pytest.fixture
def server(tmp_path: Path, authority: Authority) -> Iterator[Server]:
    """A server of the test's own, with TLS, its data on the disk: to be sealed, restarted, killed."""
    with Server(tmp_path / "vault", authority=authority) as server:
        yield server


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Cluster]:
    """A shared cluster of three nodes; who leads is for each test to find out."""
    with Cluster(tmp_path_factory.mktemp("cluster"), authority) as cluster:
        yield cluster


@pytest.fixture
def proxy(dev_server: Server) -> Iterator[Proxy]:
    """A proxy before the shared dev server."""
    with Proxy(dev_server.address) as proxy:
        yield proxy


@pytest.fixture
def mount() -> str:
    """A mount path that no other test of this run uses."""
    return f"test-{next(_numbers)}"
