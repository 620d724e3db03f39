"""Reloads of many at once, and the number of the present state."""

import asyncio

from volward.service.live import Reloaded
from volward.service.reloads import Reloads
from volward.service.revision import Revision


def test_who_asks_while_one_runs_shares_the_next() -> None:
    async def scene() -> tuple[list[str], int]:
        gate, begun = asyncio.Event(), 0

        async def reload() -> Reloaded:
            nonlocal begun
            begun += 1
            number = begun
            await gate.wait()
            return Reloaded(good=True, problems=(str(number),))

        reloads = Reloads(reload)
        first, same = reloads.one(), reloads.one()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        late, later = reloads.one(), reloads.one()
        assert begun == 1
        gate.set()
        answers = await asyncio.gather(first, same, late, later)
        return [one.problems[0] for one in answers], begun

    assert asyncio.run(scene()) == (["1", "1", "2", "2"], 2)


def test_one_that_failed_does_not_stop_the_next() -> None:
    async def scene() -> Reloaded:
        answers: list[Reloaded | Exception] = [RuntimeError(), Reloaded(good=True)]

        async def reload() -> Reloaded:
            await asyncio.sleep(0)
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        reloads = Reloads(reload)
        first = reloads.one()
        await asyncio.sleep(0)
        second = reloads.one()
        assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], RuntimeError)
        return await second

    assert asyncio.run(scene()).good


def test_a_change_before_the_wait_is_not_missed() -> None:
    async def scene() -> int:
        revision = Revision()
        before = revision.number
        revision.rise()
        await revision.beyond(before)
        waiting = [asyncio.create_task(revision.beyond(revision.number)) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        revision.rise()
        await asyncio.gather(*waiting)
        return revision.number

    assert asyncio.run(scene()) == 2
