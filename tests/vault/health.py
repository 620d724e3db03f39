"""How a server says it is: the status of /v1/sys/health, which needs no token."""

from __future__ import annotations

import http.client
import ssl
from enum import IntEnum

from tests.vault.address import Address


class Health(IntEnum):
    """Vault's answers (its API documentation, `/sys/health`); GONE is ours, for no answer at all."""

    GONE = 0
    ACTIVE = 200
    STANDBY = 429
    DISASTER_STANDBY = 472
    PERFORMANCE_STANDBY = 473
    # A standby that does not reach the leader, as in the moments after a change.
    LEADERLESS = 474
    UNINITIALISED = 501
    SEALED = 503
    REMOVED = 530


def ask(address: Address, *, tls: bool, timeout_seconds: float = 30) -> Health:
    """The state of the server there. Its certificate is not looked at: that is for the tests to judge."""
    connection: http.client.HTTPConnection
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(*address, timeout=timeout_seconds, context=context)
    else:
        connection = http.client.HTTPConnection(*address, timeout=timeout_seconds)
    try:
        connection.request("GET", "/v1/sys/health")
        return Health(connection.getresponse().status)
    except (OSError, http.client.HTTPException):
        return Health.GONE
    finally:
        connection.close()
