"""What is made of systemctl's answers."""

from collections.abc import Callable

import pytest

from volward.errors import BusyError, ToolFailedError, ToolTimeoutError, VolwardError
from volward.host import run, systemd


def _answer(monkeypatch: pytest.MonkeyPatch, name: str, answer: Callable[[], run.Completed]) -> list[tuple[str, ...]]:
    asked: list[tuple[str, ...]] = []

    def record(argv: list[str], **_: object) -> run.Completed:
        asked.append(tuple(argv))
        return answer()

    monkeypatch.setattr(run, name, record)
    return asked


def _fail(error: type[ToolFailedError], stderr: str) -> Callable[[], run.Completed]:
    def answer() -> run.Completed:
        raise error("systemctl ended with status 1.", resolution="Look.", status=1, stderr=stderr)

    return answer


@pytest.mark.parametrize(
    ("again", "start", "verb"),
    [
        (False, True, "reload-or-restart"),
        (True, True, "restart"),
        (False, False, "try-reload-or-restart"),
        (True, False, "try-restart"),
    ],
)
def test_a_service_follows_without_being_waited_for(
    monkeypatch: pytest.MonkeyPatch, again: bool, start: bool, verb: str
) -> None:
    asked = _answer(monkeypatch, "mutate", lambda: run.Completed((), 0, "", ""))

    systemd.have_follow("volward.service", again=again, start=start)

    assert asked == [("systemctl", "--no-block", verb, "volward.service")]


def test_jobs_are_given_to_pid_1(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _answer(monkeypatch, "mutate", lambda: run.Completed((), 0, "", ""))

    systemd.reload()
    systemd.start("a.mount")
    systemd.stop("a.mount")
    systemd.end_main_process("a.service")

    assert asked == [
        ("systemctl", "daemon-reload"),
        ("systemctl", "start", "a.mount"),
        ("systemctl", "stop", "a.mount"),
        ("systemctl", "kill", "--kill-whom=main", "a.service"),
    ]


@pytest.mark.parametrize(
    ("call", "failure", "expected", "text"),
    [
        (
            systemd.start,
            _fail(ToolFailedError, "Job failed.\n"),
            ToolFailedError,
            "could not start a.mount: Job failed.",
        ),
        (systemd.start, _fail(ToolFailedError, ""), ToolFailedError, "could not start a.mount: systemctl ended"),
        (systemd.start, _fail(ToolTimeoutError, ""), ToolTimeoutError, "systemctl ended"),
        (systemd.stop, _fail(ToolTimeoutError, ""), ToolTimeoutError, "systemctl ended"),
        (systemd.stop, _fail(ToolFailedError, ""), BusyError, "could not stop a.mount"),
    ],
)
def test_a_job_that_fails_says_which(
    monkeypatch: pytest.MonkeyPatch,
    call: Callable[[str], None],
    failure: Callable[[], run.Completed],
    expected: type[VolwardError],
    text: str,
) -> None:
    _answer(monkeypatch, "mutate", failure)

    with pytest.raises(expected, match=text) as error:
        call("a.mount")
    assert type(error.value) is expected


@pytest.mark.parametrize(("status", "active"), [(0, True), (3, False), (4, False)])
def test_is_active(monkeypatch: pytest.MonkeyPatch, status: int, active: bool) -> None:
    _answer(monkeypatch, "read", lambda: run.Completed((), status, "", ""))

    assert systemd.active("a.mount") is active


@pytest.mark.parametrize(
    ("looks", "started"),
    [
        pytest.param(["Job=\nActiveState=active\n"], True, id="it came up all the same"),
        pytest.param(["Job=77\nActiveState=activating\n", "ActiveState=active\n"], True, id="its job went on"),
        pytest.param(["Job=77\nActiveState=activating\n", "ActiveState=failed\n"], False, id="its job failed"),
        pytest.param(["ActiveState=inactive\n"], False, id="nobody was ever asked"),
        pytest.param([None, "ActiveState=active\n"], True, id="no answer twice"),
    ],
)
def test_a_start_without_an_answer_is_looked_at_and_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, looks: list[str | None], started: bool
) -> None:
    """PID 1 was busy for longer than systemctl waits: the job goes on, only its answer is lost."""
    asked: list[list[object]] = []

    def look(argv: list[object]) -> run.Completed:
        asked.append(argv)
        said = looks.pop(0)
        if said is None:
            raise ToolFailedError("No answer.", resolution="Wait.", status=1)
        return run.Completed((), 0, said, "")

    _answer(monkeypatch, "mutate", _fail(ToolFailedError, "Failed to start a.mount: Connection timed out\n"))
    monkeypatch.setattr(run, "read", look)
    monkeypatch.setattr(systemd, "_PAUSE_SECONDS", 0)

    if started:
        systemd.start("a.mount")
    else:
        with pytest.raises(ToolFailedError, match="Connection timed out"):
            systemd.start("a.mount")

    assert looks == []
    assert {argv[1] for argv in asked} == {"show"}


def test_a_start_without_an_answer_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    _answer(monkeypatch, "mutate", _fail(ToolFailedError, "Connection timed out\n"))
    _answer(monkeypatch, "read", lambda: run.Completed((), 0, "Job=77\nActiveState=activating\n", ""))
    monkeypatch.setattr(systemd, "_PAUSE_SECONDS", 0)
    monkeypatch.setattr(systemd, "_START_DEADLINE_SECONDS", 0.05)

    with pytest.raises(ToolFailedError, match="Connection timed out"):
        systemd.start("a.mount")
