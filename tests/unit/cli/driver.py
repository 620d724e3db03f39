"""The command line as a test runs it: two volumes, root's rights, no host below.

What a command would do to the host is replaced where it enters `operations`; everything above it is real.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import pytest

from volward.cli import main, privilege
from volward.cli.context import Context
from volward.host import tools

CONFIGURATION = "".join(
    f"""
[volumes.{name}]
device = "/dev/disk/by-id/virtio-{name}"
store = "redis"
mount_point = "/srv/volward/{name}"
"""
    for name in ("cache", "queue")
)


@dataclass
class Answer:
    """What a command left: its exit status and both streams."""

    status: int
    out: str
    err: str


@dataclass
class Cli:
    """Runs commands; ``answers`` are what the person at the terminal types, ``asked`` what was asked."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]
    answers: list[str | BaseException] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    demanded: list[tuple[list[str], bool]] = field(default_factory=list)

    def __call__(self, *arguments: str) -> Answer:
        status = main.run(["--config", str(self.root), *arguments])
        out, err = self.capture.readouterr()
        assert "Traceback" not in err, err
        return Answer(status, out, err)

    def configure(self, text: str) -> None:
        (self.root / "volward.toml").write_text(text)

    def on_a_terminal(self, *answers: str | BaseException) -> None:
        """Let a person sit there, who types these answers."""
        self.answers += answers
        self.monkeypatch.setattr(Context, "is_terminal", True)

    def replace(self, target: str, function: Callable[..., Any]) -> None:
        """Replace a function below the command line, by its dotted name."""
        self.monkeypatch.setattr(target, function)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    driver = Cli(tmp_path / "etc", monkeypatch, capsys)
    driver.root.mkdir()
    driver.configure(CONFIGURATION)

    def prompt(question: str, **options: object) -> str:
        driver.asked.append(question)
        answer = driver.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def demand(specs: Sequence[Any], *, provisioning: bool) -> None:
        driver.demanded.append(([spec.name for spec in specs], provisioning))

    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setitem(privilege.demand_device_mapper.__kwdefaults__ or {}, "module", tmp_path)
    monkeypatch.setattr(click, "prompt", prompt)
    monkeypatch.setattr(tools, "demand", demand)
    monkeypatch.setattr(Context, "is_terminal", False)
    return driver
