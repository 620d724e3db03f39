"""A token that the host was given for good: the daemon renews it, or it would end with its first period."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import hvac
import pytest
from tests.host.test_service import until
from tests.lab.host import MIB, Host
from tests.vault import lab_login, mounts
from tests.vault.certificates import Authority
from tests.vault.server import Server

pytestmark = [pytest.mark.lab, pytest.mark.full, pytest.mark.vault]

PERIOD_SECONDS = 120
CONFIGURATION = f"""
[vault]
address = "{lab_login.ADDRESS}"
ca_file = "{lab_login.CA_FILE}"
timeout = 30
[vault.login]
method = "token"
credential = "{lab_login.CREDENTIAL}"
[volumes.data]
device = "{{device}}"
store = "directory"
mount_point = "/srv/volward/data"
keys = ["vault"]
"""


def given(server: Server) -> tuple[str, str]:
    """A periodic token for the host, and its accessor."""
    made = server.admin.auth.token.create(policies=["lab"], period=f"{PERIOD_SECONDS}s")["auth"]
    return made["client_token"], made["accessor"]


def known(server: Server, accessor: str) -> dict[str, Any] | None:
    """What the server says of a token; None when it knows it no more."""
    try:
        return dict(server.admin.auth.token.lookup_accessor(accessor)["data"])
    except (hvac.exceptions.Forbidden, hvac.exceptions.InvalidRequest, hvac.exceptions.InvalidPath):
        return None


def test_the_daemon_renews_it_and_says_when_it_cannot(host: Host, tmp_path: Path) -> None:
    with Server(tmp_path / "vault", authority=Authority(tmp_path / "ca")) as server:
        mounts.kv(server.admin, "kv")
        mounts.policy(server.admin, "lab", lab_login.POLICY)
        disk = host.disk("RENEW-1", 96 * MIB)
        token, accessor = given(server)
        _, unused = given(server)
        host.secrets.append(token.encode())
        lab_login.reach(host, server.address)
        lab_login.trust(host, server)
        lab_login.seal(host, token)
        host.put("/etc/volward/volward.toml", CONFIGURATION.format(device=disk.link))
        host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
        until(host, "systemctl is-active --quiet volward.service")

        # Until it was renewed after the moment at which it would have ended.
        limit = time.monotonic() + 6 * PERIOD_SECONDS
        while True:
            found = known(server, accessor)
            assert found is not None, "it has ended"
            if (found.get("last_renewal_time") or 0) > found["creation_time"] + PERIOD_SECONDS:
                break
            assert time.monotonic() < limit, found
            time.sleep(2)
        assert 0 < found["ttl"] <= PERIOD_SECONDS
        assert known(server, unused) is None, "one that nobody renews has ended"
        host.volward("close", "data")
        assert "open and mounted (key: vault)" in host.volward("open", "data").stdout
        assert "was not renewed" not in host.journal("--unit=volward.service")

        server.admin.auth.token.revoke_accessor(accessor)
        said = f"The token for {lab_login.ADDRESS} was not renewed, and it is tried again"
        until(host, f"journalctl --unit=volward.service | grep -F '{said}'")
        host.run("mountpoint", "-q", "/srv/volward/data")
