"""The boundary of the command line: statuses, messages, and what is imported when."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from volward.cli import main
from volward.errors import NotBlankError

AGENT = Path(main.__file__).parents[2]
GOOD = """
[volumes.pgdata]
device = "file:/var/lib/volward/images/pgdata.img"
size = "1 GiB"
store = "postgres"
mount_point = "/srv/volward/pgdata"
"""


def answer(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """Run a command that raises."""

    @click.command
    def failing() -> None:
        raise error

    monkeypatch.setattr(main.LazyGroup, "get_command", lambda *_: failing)
    return main.run(["status"])


def test_a_deliberate_error_says_what_then_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer(monkeypatch, NotBlankError("It is full.", resolution="Look.\nThen go.")) == 73
    assert capsys.readouterr().err == (
        "volward: It is full.\n  Look.\n  Then go.\n  (VW0302, `volward explain VW0302`)\n"
    )


def test_a_bug_keeps_its_traceback_but_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    key = os.urandom(64)
    error = RuntimeError(f"odd: {key!r} {key.hex()} but /dev/disk/by-id/virtio-PG1 stays")
    assert answer(monkeypatch, error) == 70
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "in failing" in said
    assert "RuntimeError: odd: " in said
    assert "/dev/disk/by-id/virtio-PG1 stays" in said
    assert key.hex()[:24] not in said
    assert "this is a bug" in said


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_interrupted(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    assert answer(monkeypatch, error) == 130


def test_a_command_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["chek"]) == 2
    assert "Did you mean `volward check`?" in capsys.readouterr().err


def test_a_statement_of_the_command_becomes_the_status(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command
    def pending() -> int:
        return 3

    monkeypatch.setattr(main.LazyGroup, "get_command", lambda *_: pending)
    assert main.run(["plan"]) == 3


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(AGENT)}, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_help_imports_no_command_and_nothing_heavy() -> None:
    code = (
        "import sys\nfrom volward.cli import main\nassert main.run(['--help']) == 0\n"
        "print(*sorted(name for name in sys.modules if name.split('.')[0] in"
        " ('volward', 'pydantic', 'rich', 'psutil', 'systemd', 'subprocess', 'asyncio', 'json')))"
    )
    assert run_python(code).splitlines()[-1] == (
        "volward volward.cli volward.cli.main volward.errors volward.exit_status"
    )


def test_explain_and_journal_need_no_pydantic() -> None:
    code = (
        "import sys\nfrom volward.cli import main\nassert main.run(['explain', '302']) == 0\n"
        "print('pydantic' in sys.modules, 'rich' in sys.modules)"
    )
    assert run_python(code).splitlines()[-1] == "False False"


def test_a_closed_pipe_is_quiet() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "volward.cli.main", "explain"],
        env={"PYTHONPATH": str(AGENT)},
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "volward.toml").write_text(GOOD)
    assert main.run(["--config", str(tmp_path), "check"]) == 0
    assert capsys.readouterr().out == "The configuration is right: 1 volume (pgdata).\n"
    (tmp_path / "volward.toml").write_text(GOOD.replace("device", "devise"))
    assert main.run(["--config", str(tmp_path), "check"]) == 78
    said = capsys.readouterr().err
    assert "volumes.pgdata.device is missing." in said
    assert "volumes.pgdata.devise is not a setting" in said
    assert main.run(["--config", str(tmp_path), "check", "--json"]) == 78
    report = json.loads(capsys.readouterr().out)
    assert [one["path"] for one in report["problems"]] == ["volumes.pgdata.device", "volumes.pgdata.devise"]


def test_config_schema_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"].endswith("2020-12/schema")


@pytest.mark.parametrize("code", ["VW0302", "vw0302", "0302", "302"])
def test_explain(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["explain", code]) == 0
    said = capsys.readouterr().out
    assert said.startswith("VW0302: The device is not proven blank, so it is not formatted.\n")
    assert said.endswith("Exit status 73 (would destroy).\n")


def test_explain_a_code_that_does_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["explain", "VW0314"]) == 2
    assert "VW0313" in capsys.readouterr().err


def test_explain_alone_lists_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["CODE", "EXIT", "MEANING"]
    assert any(line.startswith("VW0101  78") for line in lines)
