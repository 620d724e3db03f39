"""What one client of the control socket says: messages that end with NUL (varlink.org), and never more than a bound."""

import asyncio

_END = b"\0"


class LeftError(Exception):
    """The client went away, was too slow, or said something that is no message; there is nobody to answer."""


class Inbox:
    """Takes messages from a stream one by one. Raises LeftError at its end, and beyond ``limit`` bytes."""

    def __init__(self, reader: asyncio.StreamReader, limit: int) -> None:
        self._reader = reader
        self._limit = limit
        self._heard = bytearray()
        self._looked = 0  # so far there is no end of a message

    async def message(self) -> bytes:
        """Return the next message, without its end."""
        while (end := self._heard.find(_END, self._looked)) < 0:
            self._looked = len(self._heard)
            await self._hear()
        found = bytes(self._heard[:end])
        del self._heard[: end + 1]
        self._looked = 0
        return found

    async def listen(self) -> None:
        """Keep what is said for later, for as long as nothing can be answered; returns never."""
        while True:
            await self._hear()

    async def _hear(self) -> None:
        if len(self._heard) > self._limit:
            raise LeftError
        data = await self._reader.read(self._limit)
        if not data:
            raise LeftError
        self._heard += data
