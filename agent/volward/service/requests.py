"""Requests to read the configuration: whether there are any, and what those who made them are told. No system calls."""

import asyncio
from collections.abc import Iterable

from volward.service.live import Reloaded

Request = asyncio.Future[Reloaded]


class Requests:
    """Begins with one of nobody: a daemon that starts has nothing to go by."""

    def __init__(self) -> None:
        self.pending = True
        self._asked: list[Request] = []
        self._by_a_person = False

    def add(self) -> None:
        """Note one that nobody waits for (SIGHUP)."""
        self.pending = True

    def ask(self) -> Request:
        """Note one of a person, and return what is going to be the answer."""
        answer: Request = asyncio.get_running_loop().create_future()
        self._asked.append(answer)
        self._by_a_person = True
        self.pending = True
        return answer

    def take(self) -> tuple[Request, ...]:
        """Return those that wait for the reading that begins now."""
        taken, self._asked, self.pending = tuple(self._asked), [], False
        return taken

    def by_a_person(self) -> bool:
        """Say whether a person made one since the configuration was last read, which it was now."""
        answer, self._by_a_person = self._by_a_person, False
        return answer


def answer(requests: Iterable[Request], problems: str) -> None:
    """Tell those who wait how it ended; who asked may have gone."""
    for one in requests:
        if not one.done():
            one.set_result(Reloaded(good=not problems, problems=(problems,) if problems else ()))
