"""Everything that goes wrong between host and Vault: retried or not, with which exit status, and nothing is stored."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.builders import HEADER
from tests.vault import agent, mounts
from tests.vault.agent import SECONDS
from tests.vault.certificates import Authority
from tests.vault.cluster import Cluster
from tests.vault.fault import Canned, Cut, Endless, Fault, Forward, Refuse, Silent, Slow
from tests.vault.health import Health
from tests.vault.proxy import Proxy
from tests.vault.server import Server

from volward.errors import KeyDeniedError, ProviderUnavailableError, UntrustedServerError, VolwardError
from volward.exit_status import ExitStatus
from volward.keys.chain import Patience, open_volume
from volward.keys.header_token import HeaderToken, build
from volward.keys.source import KeyRef
from volward.keys.vault.kv import KvSource
from volward.model import Token, VaultServer
from volward.secret import SecretBytes

LATER, NO = ProviderUnavailableError, KeyDeniedError
STATUSES: dict[type[VolwardError], ExitStatus] = {
    LATER: ExitStatus.PROVIDER_UNAVAILABLE,
    NO: ExitStatus.DENIED,
    UntrustedServerError: ExitStatus.DENIED,
}


def made(server: Server, mount: str, *, ca_file: Path | None = None) -> KeyRef:
    """A key that is there before the fault."""
    mounts.kv(server.admin, mount)
    with agent.session(agent.server(server.url, ca_file=ca_file), token=server.root_token) as one:
        keys = agent.kv(one, mount)
        return keys.create(keys.first_ref("pgdata"), adopt=False, deadline_seconds=30.0)


@contextmanager
def nothing_stored(server: Server, mount: str) -> Iterator[None]:
    def state() -> object:
        path = "volward/db1/pgdata"
        return server.admin.secrets.kv.v2.read_secret_metadata(path, mount_point=mount)["data"]["versions"]

    before = state()
    yield
    assert state() == before


def read(record: VaultServer, token: str, mount: str, ref: KeyRef, *, seconds: float = SECONDS) -> None:
    with agent.session(record, token=token) as one:
        agent.kv(one, mount).read(ref, deadline_seconds=seconds).wipe()


def fails(kind: type[VolwardError], record: VaultServer, token: str, mount: str, ref: KeyRef, **more: float) -> str:
    """Read, and return what is said; the error has the class, and the class its exit status."""
    with pytest.raises(VolwardError) as raised:
        read(record, token, mount, ref, **more)
    assert type(raised.value) is kind, raised.value
    assert raised.value.exit_status is STATUSES[kind]
    return str(raised.value)


ON_THE_WAY: dict[str, tuple[Fault, type[VolwardError], str]] = {
    "refused": (Refuse(), LATER, "refused"),
    "silent": (Silent(), LATER, "did not answer"),
    "slow": (Slow(bytes_per_second=10), LATER, "did not answer"),
    "cut before the answer": (Cut(after_bytes=0), LATER, "did not answer"),
    "cut in its head": (Cut(after_bytes=40), LATER, "did not answer"),
    "cut in mid-response": (Cut(after_bytes=400), LATER, "did not answer"),
    "reset in mid-response": (Cut(after_bytes=400, reset=True), LATER, "did not answer"),
    "500 without a leader": (
        Canned(500, b'{"errors":["local node not active but active cluster node not found"]}'), LATER, "leader"
    ),
    "502 of a gateway": (Canned(502, b"<html>bad gateway</html>"), LATER, "status 502"),
    "503 sealed": (Canned(503, b'{"errors":["Vault is sealed"]}'), LATER, "unseal"),
    "412 not caught up": (Canned(412), LATER, "caught up"),
    "429 rate limit": (Canned(429), LATER, "rate"),
    "472 standby": (Canned(472), LATER, "standby"),
    "473 standby": (Canned(473), LATER, "standby"),
    "501 not initialised": (Canned(501), LATER, "initialise"),
    "a portal": (Canned(200, b"<html>welcome to the hotel</html>"), NO, "is not Vault"),
    "malformed content": (Canned(200, b'{"data": {"data": {"key": "AAAA"}}}'), NO, "does not hold a key"),
    "sent to another address": (Canned(307, b"", {"Location": "http://127.0.0.1:1/v1/x"}), NO, "another address"),
    "403 denied": (Canned(403), NO, "policy"),
    "404 nothing there": (Canned(404), NO, "no version"),
    "endless": (Endless(), NO, "longer than 1 MiB"),
}  # fmt: skip


@pytest.mark.parametrize("case", ON_THE_WAY.values(), ids=ON_THE_WAY.keys())
def test_faults_on_the_way(
    dev_server: Server, proxy: Proxy, mount: str, case: tuple[Fault, type[VolwardError], str]
) -> None:
    fault, kind, told = case
    ref = made(dev_server, mount)
    proxy.become(fault)
    record = agent.server(proxy.url, timeout_seconds=2)
    with nothing_stored(dev_server, mount):
        began = time.monotonic()
        said = fails(kind, record, dev_server.root_token, mount, ref, seconds=4.0)
        assert told in said
        assert time.monotonic() - began < 30, "one deadline holds for all of it"
    proxy.become(Forward())
    read(record, dev_server.root_token, mount, ref)


@pytest.mark.parametrize("after", [0, 100])
def test_a_write_whose_answer_is_cut_is_read_back(
    dev_server: Server, proxy: Proxy, mount: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three questions pass; the answer to the write is lost, and the key is found to be there."""
    ref = made(dev_server, mount)
    with agent.session(agent.server(proxy.url), token=dev_server.root_token) as one:
        keys = agent.kv(one, mount)
        real = keys._written

        def cut(*words: Any) -> bool:
            proxy.become(Cut(after_bytes=after), Forward())
            return real(*words)

        monkeypatch.setattr(keys, "_written", cut)
        second = keys.create(keys.next_ref(ref, deadline_seconds=SECONDS), adopt=False, deadline_seconds=SECONDS)
        keys.read(second, deadline_seconds=SECONDS).wipe()
    versions = dev_server.admin.secrets.kv.v2.read_secret_metadata(ref.name, mount_point=mount)["data"]["versions"]
    assert list(versions) == ["1", "2"]


def test_a_name_that_does_not_resolve(dev_server: Server, mount: str) -> None:
    ref = made(dev_server, mount)
    record = agent.server("https://vault.invalid:8200")
    with nothing_stored(dev_server, mount):
        assert "did not answer" in fails(LATER, record, dev_server.root_token, mount, ref)


def test_a_ca_that_did_not_issue_it(tls_server: Server, authority: Authority, mount: str, tmp_path: Path) -> None:
    ref = made(tls_server, mount, ca_file=authority.ca_file)
    record = agent.server(tls_server.url, ca_file=Authority(tmp_path, "another").ca_file)
    assert "ca_file" in fails(UntrustedServerError, record, tls_server.root_token, mount, ref)


def test_a_certificate_that_has_expired(dev_server: Server, authority: Authority, mount: str) -> None:
    ref = made(dev_server, mount)
    shown = authority.server_context(authority.server("over", "127.0.0.1", expired=True))
    with Proxy(dev_server.address, server_context=shown) as proxy:
        record = agent.server(proxy.tls_url, ca_file=authority.ca_file)
        assert "has expired" in fails(UntrustedServerError, record, dev_server.root_token, mount, ref)


def test_a_certificate_for_another_name(dev_server: Server, authority: Authority, mount: str) -> None:
    ref = made(dev_server, mount)
    shown = authority.server_context(authority.server("elsewhere", "127.0.0.9"))
    with Proxy(dev_server.address, server_context=shown) as proxy:
        record = agent.server(proxy.tls_url, ca_file=authority.ca_file)
        assert "IP address" in fails(UntrustedServerError, record, dev_server.root_token, mount, ref)


def test_plain_http_where_tls_is_expected(dev_server: Server, authority: Authority, mount: str) -> None:
    ref = made(dev_server, mount)
    record = agent.server(dev_server.url.replace("http:", "https:"), ca_file=authority.ca_file)
    assert "TLS" in fails(UntrustedServerError, record, dev_server.root_token, mount, ref)


def test_sealed_killed_and_back_again(server: Server, authority: Authority, mount: str) -> None:
    ref = made(server, mount, ca_file=authority.ca_file)
    record = agent.server(server.url, ca_file=authority.ca_file)
    token = server.root_token
    server.seal()
    assert "operator unseal" in fails(LATER, record, token, mount, ref)
    server.kill()
    assert server.health() is Health.GONE
    assert "refused" in fails(LATER, record, token, mount, ref)
    server.start()
    server.unseal()
    read(record, token, mount, ref)


def test_a_policy_that_does_not_say_so(dev_server: Server, mount: str) -> None:
    ref = made(dev_server, mount)
    token = dev_server.admin.auth.token.create(policies=["default"])["auth"]["client_token"]
    with nothing_stored(dev_server, mount):
        said = fails(NO, agent.server(dev_server.url), token, mount, ref)
    assert f'path "{mount}/data/volward/db1/pgdata" {{ capabilities = ["read"] }}' in said


def test_a_rate_limit(dev_server: Server, mount: str) -> None:
    ref = made(dev_server, mount)
    record = agent.server(dev_server.url)
    with (
        mounts.quota(dev_server.admin, mount, rate=1),
        agent.session(record, token=dev_server.root_token) as one,
        pytest.raises(LATER, match="rate"),
    ):
        for _ in range(5):
            agent.kv(one, mount).read(ref, deadline_seconds=SECONDS).wipe()
    read(record, dev_server.root_token, mount, ref)


def test_a_standby_answers_through_the_leader(cluster: Cluster, authority: Authority, mount: str) -> None:
    leader = cluster.leader
    ref = made(leader, mount, ca_file=authority.ca_file)
    for node in cluster.standbys:
        read(agent.server(node.url, ca_file=authority.ca_file), leader.root_token, mount, ref, seconds=30.0)


def test_a_standby_without_a_leader_is_asked_again(cluster: Cluster, authority: Authority, mount: str) -> None:
    """Two nodes of three are gone: the third cannot lead, and sends every question on to the one that did."""
    leader = cluster.leader
    ref = made(leader, mount, ca_file=authority.ca_file)
    cluster.wait_for_votes()
    left, *others = cluster.standbys
    gone = [leader, *others]
    for node in gone:
        node.kill()
    left.wait_for(Health.LEADERLESS)
    record = agent.server(left.url, ca_file=authority.ca_file)
    assert "refused" in fails(LATER, record, leader.root_token, mount, ref)
    for node in gone:
        node.start()
    cluster.unseal()
    read(agent.server(cluster.leader.url, ca_file=authority.ca_file), leader.root_token, mount, ref, seconds=60.0)


def test_the_leader_changes_in_the_middle_of_a_pass(cluster: Cluster, authority: Authority, mount: str) -> None:
    """Eight volumes ask again and again while the leader dies and another is chosen: some wait, none is denied."""
    leader = cluster.leader
    ref = made(leader, mount, ca_file=authority.ca_file)
    asked = next(iter(cluster.standbys))
    outcomes: list[VolwardError | None] = []
    over = threading.Event()

    def volume(keys: KvSource) -> None:
        while not over.is_set():
            try:
                keys.read(ref, deadline_seconds=5.0).wipe()
                outcomes.append(None)
            except VolwardError as error:
                outcomes.append(error)

    record = agent.server(asked.url, ca_file=authority.ca_file)
    with agent.session(record, token=leader.root_token) as one:
        threads = [threading.Thread(target=volume, args=(agent.kv(one, mount),)) for _ in range(8)]
        for thread in threads:
            thread.start()
        cluster.wait_for_votes()
        leader.kill()
        assert cluster.leader is not leader
        over.set()
        for thread in threads:
            thread.join()
        deadline = time.monotonic() + 60
        while True:
            try:
                agent.kv(one, mount).read(ref, deadline_seconds=5.0).wipe()
                break
            except ProviderUnavailableError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
    leader.start()
    cluster.unseal()
    assert outcomes
    assert {type(error) for error in outcomes if error} <= {ProviderUnavailableError}


def test_the_chain_waits_for_a_server_that_comes_back(dev_server: Server, proxy: Proxy, mount: str) -> None:
    ref = made(dev_server, mount)
    fields = json.loads(build(HeaderToken("pgdata", ref, (0,))))
    header = replace(HEADER, tokens=(Token(0, "volward", (0,), fields),))
    proxy.become(Canned(503), Cut(after_bytes=0), Forward())
    opened: list[int | None] = []

    def take(key: SecretBytes, keyslot: int | None) -> None:
        opened.append(keyslot)

    with agent.session(agent.server(proxy.url), token=dev_server.root_token) as one:
        outcome = open_volume(
            "pgdata", [agent.kv(one, mount)], header,
            open_by_key=take, open_by_token=lambda opener, token: None, patience=Patience(30.0),
        )  # fmt: skip
    assert (outcome.failures, opened) == ((), [0])
    assert proxy.connections >= 3
