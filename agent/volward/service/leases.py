"""When the tokens of this host are to be renewed: of the logins that cannot be repeated. Pure; time is passed in.

A login by AppRole, certificate or JWT is made anew in each pass, and a Vault agent renews its own sink. Only a token
that somebody gave the host for good ends when nobody renews it (https://developer.hashicorp.com/vault/docs/concepts/tokens).
"""

from collections.abc import Iterable

from volward.service.task import Lease

_AGAIN_SECONDS = 60.0
_LONGEST_AGAIN_SECONDS = 3600.0
_LONGEST_SECONDS = 12 * 3600.0


class Leases:
    """When each server's token is due; a token is renewed in the first third of its life."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._failures: dict[str, int] = {}  # in a row

    def configure(self, servers: Iterable[str], now: float) -> None:
        """Take over which servers there are; a new one is due at once."""
        self._due = {server: self._due.get(server, now) for server in servers if server}

    def is_due(self, now: float) -> bool:
        return any(due <= now for due in self._due.values())

    def next_wake(self, now: float) -> float | None:
        """Return the seconds until one is due; None: there are none."""
        return max(0.0, min(self._due.values()) - now) if self._due else None

    def note(self, lease: Lease, now: float) -> str:
        """Note how a renewal ended; return the line to be said, "" for what is as it should be."""
        if lease.server not in self._due:
            return ""
        if lease.error:
            failures = self._failures.get(lease.server, 0)
            self._failures[lease.server] = failures + 1
            self._due[lease.server] = now + min(_LONGEST_AGAIN_SECONDS, _AGAIN_SECONDS * 2.0**failures)
            return f"<4>The token for {lease.server} was not renewed, and it is tried again: {lease.error}"
        self._failures.pop(lease.server, None)
        self._due[lease.server] = now + (_LONGEST_SECONDS if lease.seconds is None else self._pause(lease.seconds))
        return ""

    def missed(self, now: float) -> None:
        """Note that a renewal ended without a word: what was due is due again soon."""
        self._due = {server: now + _AGAIN_SECONDS if due <= now else due for server, due in self._due.items()}

    @staticmethod
    def _pause(seconds: float) -> float:
        return min(_LONGEST_SECONDS, max(_AGAIN_SECONDS / 6, seconds / 3))
