"""A stand-in for the process boundary: it writes argv down and answers what a test says."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from volward.errors import ToolFailedError
from volward.host import run
from volward.host.run import Completed, KeyFile, Word
from volward.secret import SecretBytes


@dataclass
class Recording:
    """Every call as text; a key shows as <its length> (and <seekable N>). Answers are used up in order."""

    calls: list[list[str]] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    answers: list[Completed | SecretBytes | bytes | Exception] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)

    def answer(self, status: int = 0, stdout: str = "", stderr: str = "") -> None:
        self.answers.append(Completed((), status, stdout, stderr))

    def fail(self, status: int, stderr: str = "") -> None:
        self.answers.append(ToolFailedError("It failed.", resolution="Look.", status=status, stderr=stderr))

    def take(self, argv: Sequence[Word]) -> Completed | SecretBytes | bytes:
        self.calls.append([self._text(word) for word in argv])
        answer = self.answers.pop(0) if self.answers else Completed((), 0, "", "")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _text(self, word: Word) -> str:
        if not isinstance(word, KeyFile):
            return str(word)
        with word.secret.view() as view:
            self.keys.append(bytes(view))
            return f"{word.prefix}<{'seekable ' if word.seekable else ''}{len(view)}>"


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    record = Recording()

    def text(argv: Sequence[Word], *, ok: Sequence[int] = (0,), **options: float) -> Completed:
        record.timeouts += options.values()
        answer = record.take(argv)
        assert isinstance(answer, Completed)
        assert answer.status in ok
        return answer

    def transform(argv: Sequence[Word], secret: SecretBytes) -> bytes:
        with secret.view() as view:
            record.keys.append(bytes(view))
        answer = record.take(argv)
        return answer if isinstance(answer, bytes) else b"sealed"

    def reveal(argv: Sequence[Word]) -> SecretBytes:
        answer = record.take(argv)
        assert isinstance(answer, SecretBytes)
        return answer

    monkeypatch.setattr(run, "read", text)
    monkeypatch.setattr(run, "mutate", text)
    monkeypatch.setattr(run, "transform", transform)
    monkeypatch.setattr(run, "reveal", reveal)
    return record
