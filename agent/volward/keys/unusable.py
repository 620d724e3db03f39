"""A provider that cannot be used on this host: it says why whenever it is asked, and the chain goes on."""

from typing import NoReturn

from volward.errors import VolwardError
from volward.keys.source import KeyRef
from volward.model import ProviderKind


class UnusableSource:
    """A KeySource without keys."""

    interactive = False

    def __init__(self, provider: ProviderKind, error: VolwardError) -> None:
        self.provider = provider
        self._error = error

    def first_ref(self, volume: str) -> KeyRef:
        """Raise why."""
        del volume
        self._refuse()

    def next_ref(self, ref: KeyRef, *, deadline_seconds: float) -> KeyRef:
        """Raise why."""
        del ref, deadline_seconds
        self._refuse()

    def refs(self, volume: str, *, deadline_seconds: float) -> tuple[KeyRef, ...]:
        """Raise why."""
        del volume, deadline_seconds
        self._refuse()

    def present(self, ref: KeyRef, *, deadline_seconds: float) -> bool:
        """Raise why."""
        del ref, deadline_seconds
        self._refuse()

    def create(self, ref: KeyRef, *, adopt: bool, deadline_seconds: float) -> KeyRef:
        """Raise why."""
        del ref, adopt, deadline_seconds
        self._refuse()

    def read(self, ref: KeyRef, *, deadline_seconds: float) -> NoReturn:
        """Raise why."""
        del ref, deadline_seconds
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise self._error
