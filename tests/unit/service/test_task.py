"""Lines between daemon and worker: what is written is read, and anything else is refused."""

import pytest

from volward.service.task import Answer, Ended, Lease, Loaded, Problems, Task, Watched, line, read_answer, read_task

TASK = Task(("a", "b"), ("c",), ("d",), {"a": 17}, True, 2.5)


def test_a_task() -> None:
    assert read_task(line(TASK)) == TASK
    assert read_task(line(Task())) == Task()


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"nonsense": 1}'])
def test_what_is_no_task(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_task(text)


@pytest.mark.parametrize(
    "answer",
    [
        Watched("a", "/dev/disk/by-id/a", "volward-a", "/srv/a", scratch=True, consumers=("db.service",), opens=False),
        Lease("https://vault.example:8200", 3600.0),
        Lease("https://vault.example:8200", error="403."),
        Problems("volumes.a.device: is missing.\nMore."),
        Loaded(),
        Ended("a", "vault", ("tpm2: no",), ("db.service",)),
        Ended("a", code="VW0402", error="No.", resolution="Ask.", needs_a_person=True, away=True),
    ],
)
def test_an_answer(answer: Answer) -> None:
    assert line(answer).count(b"\n") == 1
    assert read_answer(line(answer)) == answer


@pytest.mark.parametrize("text", [b"", b"[]", b"{}", b'{"kind": "other"}', b'{"kind": "ended", "x": 1}', b"\xff"])
def test_what_is_no_answer(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_answer(text)
