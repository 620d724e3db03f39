"""The number of the present state, and the waiting for the next one: nothing that changes meanwhile is missed."""

import asyncio


class Revision:
    """Counts the changes of the daemon's state; for those who follow them."""

    def __init__(self) -> None:
        self.number = 0
        self._risen = asyncio.Event()

    def rise(self) -> None:
        """Say that something changed; call it in the loop's own thread."""
        self.number += 1
        self._risen.set()
        self._risen = asyncio.Event()

    async def beyond(self, number: int) -> None:
        """Return once the number is greater; at once when it is already."""
        while self.number <= number:
            await self._risen.wait()
