"""What is asked of Vault and what it answers, apart from how it travels. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

_QUOTED_CHARACTERS = 300


@dataclass(frozen=True)
class Question:
    """One request, as far as an error about it has to tell: what for, which path, which capability it takes."""

    doing: str  # completes "Vault denies ...": "reading the key kv/volward/db1/pgdata"
    path: str  # below /v1/, as a policy writes it
    capability: str = "read"  # read, create, update, list
    namespace: str | None = None  # None: the server's own
    is_login: bool = False
    method: str = ""  # of a login, as the configuration names it
    understood: tuple[int, ...] = ()  # statuses beyond 2xx that the asker reads by itself

    @property
    def policy_line(self) -> str:
        """Return the line of a policy that allows it."""
        return f'path "{self.path}" {{ capabilities = ["{self.capability}"] }}'


@dataclass(frozen=True)
class Answer:
    """Status and JSON object. It may hold secrets as text, which Python cannot wipe: it is dropped at once."""

    status: int
    body: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    @property
    def is_good(self) -> bool:
        return 200 <= self.status < 300

    @property
    def said(self) -> str:
        """Return Vault's own words on what went wrong, in one line and cut; they never quote a secret."""
        errors = self.body.get("errors")
        words = errors if isinstance(errors, list) else []
        return " ".join(" ".join(map(str, words)).split())[:_QUOTED_CHARACTERS]

    def data(self, *names: str) -> Any:
        """Return what stands at ``data`` and below it, None where it does not go so far down."""
        found: Any = self.body.get("data")
        for name in names:
            if not isinstance(found, Mapping):
                return None
            found = found.get(name)
        return found

    def table(self, *names: str) -> Mapping[str, Any]:
        """Return the object at that place, an empty one where there is none."""
        found = self.data(*names)
        return found if isinstance(found, Mapping) else {}
