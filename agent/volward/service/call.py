"""One call on the control socket, and how its method waits. The varlink library knows no asyncio.

Its methods are generators of answers that it asks for one by one. So a method that has to wait yields what it waits
for, as an answer that is not sent, and finds what came of it when it is asked for the next one.
"""

from collections.abc import Awaitable


class Call:
    """What the library hands to a method as ``_request``."""

    def __init__(self, *, may_change: bool) -> None:
        self.may_change = may_change
        self.result: object = None
        self._waited_for: Awaitable[object] | None = None

    def wait(self, waited_for: Awaitable[object]) -> dict[str, object]:
        """Return what to yield; after that the outcome is in ``result``."""
        self._waited_for = waited_for
        return {"_continues": True}

    def take(self) -> Awaitable[object] | None:
        """Return what the method waits for, once; None when what it yielded is an answer."""
        waited_for, self._waited_for = self._waited_for, None
        return waited_for
