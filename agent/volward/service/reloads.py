"""Reading the configuration again for many who ask: one at a time, and for each one begun after they asked."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

from volward.service.live import Reloaded


class Reloads:
    """Whoever asks while one runs shares the next one: the running one may have read a file before it was changed."""

    def __init__(self, reload: Callable[[], Coroutine[object, object, Reloaded]]) -> None:
        self._reload = reload
        self._running: asyncio.Task[Reloaded] | None = None
        self._next: asyncio.Task[Reloaded] | None = None

    def one(self) -> Awaitable[Reloaded]:
        """Return one that begins now or later; it goes on when who asked goes away."""
        if self._next is None:
            self._next = asyncio.create_task(self._after(self._running))
        return asyncio.shield(self._next)

    async def _after(self, before: asyncio.Task[Reloaded] | None) -> Reloaded:
        if before is not None:
            await asyncio.wait({before})
        self._running, self._next = self._next, None
        return await self._reload()
