"""Progress: whole lines into a log, a line that is completed on a terminal, and nothing that can stop an operation."""

import re
import sys

import pytest

from volward.cli.interruption import Interruption
from volward.cli.steps import StepPrinter
from volward.model import Action, ProviderKind, Step

FORMAT = Action(Step.FORMAT, "format /dev/vdb", "it is blank")
ASKS = Action(Step.CREATE_KEY, "create the unlocking key (prompt)", "it needs one", provider=ProviderKind.PROMPT)


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    return re.sub(r"\d+\.\d s", "N s", capsys.readouterr().err)


def test_into_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    steps = StepPrinter(Interruption())
    steps.step("data", FORMAT)
    assert shown(capsys) == ""
    steps.step_done("data", FORMAT)
    assert shown(capsys) == "  data: format /dev/vdb: done (N s)\n"


def test_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    steps = StepPrinter(Interruption())
    steps.step("data", FORMAT)
    assert shown(capsys) == "  data: format /dev/vdb ..."
    steps.step_failed("data", FORMAT)
    assert shown(capsys) == "\r  data: format /dev/vdb: not done (N s)\n", "what is printed next begins a line"


def test_a_question_begins_a_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    StepPrinter(Interruption()).step("data", ASKS)
    assert shown(capsys).endswith(" ...\n")
    StepPrinter(Interruption(), whole_lines=True).step("data", FORMAT)
    assert shown(capsys) == ""


def test_two_volumes_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    steps = StepPrinter(Interruption(), whole_lines=True)
    steps.step("a", FORMAT)
    steps.step("b", FORMAT)
    steps.step_done("b", FORMAT)
    steps.step_done("a", FORMAT)
    assert shown(capsys) == "  b: format /dev/vdb: done (N s)\n  a: format /dev/vdb: done (N s)\n"


def test_a_terminal_that_was_closed_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            raise BrokenPipeError

        def flush(self) -> None:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    steps = StepPrinter(Interruption())
    steps.step("data", FORMAT)
    steps.step_done("data", FORMAT)


def test_it_says_when_to_stop() -> None:
    interruption = Interruption()
    steps = StepPrinter(interruption)
    assert not steps.interrupted()
    interruption.asked = True
    assert steps.interrupted()
