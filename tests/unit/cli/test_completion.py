"""What the shell is offered: names out of files alone, and an answer even where these are broken or missing."""

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from volward.cli import completion, main


def offered(*arguments: str, incomplete: str = "") -> list[str]:
    asked = ShellComplete(main.volward, {}, "volward", "_VOLWARD_COMPLETE")
    return [item.value for item in asked.get_completions(list(arguments), incomplete)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "volward.toml").write_text('[volumes.pgdata]\n[volumes.cache]\nsize = "nonsense"\n')
    (tmp_path / "volward.d").mkdir()
    (tmp_path / "volward.d/a.toml").write_text("[volumes.queue]\n")
    (tmp_path / "volward.d/broken.toml").write_text("[volumes.")
    (tmp_path / "volward.d/odd.toml").write_text("volumes = 3\n")
    return tmp_path


def test_volumes_in_their_order_without_those_given(root: Path) -> None:
    assert offered("--config", str(root), "open") == ["pgdata", "cache", "queue"]
    assert offered("--config", str(root), "open", "cache", incomplete="") == ["pgdata", "queue"]
    assert offered("--config", str(root), "repin", incomplete="q") == ["queue"]
    assert offered("--config", str(root), "holders", "queue", incomplete="p") == ["pgdata"]
    assert offered("--config", str(root), "vault", "policy", "--volume", incomplete="p") == ["pgdata"]


def test_no_configuration_no_names(tmp_path: Path) -> None:
    assert offered("--config", str(tmp_path / "nowhere"), "close") == []


def test_unfinished_operations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "_JOURNAL", tmp_path)
    for name in ("rotate-pgdata-2.journal", "provision-cache-1.journal", "rotate-queue-3.done"):
        (tmp_path / name).touch()
    assert offered("resume") == ["provision-cache-1", "rotate-pgdata-2"]
    assert offered("abort", incomplete="rot") == ["rotate-pgdata-2"]


def test_commands_come_from_the_table_and_none_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main.LazyGroup, "get_command", lambda *_: pytest.fail("a command was imported"))
    assert offered(incomplete="re") == ["reload", "recovery", "resume", "repin"]
    assert offered(incomplete="ser") == [], "it is hidden"
    assert "--config" in offered(incomplete="--")


def test_the_program_answers_the_shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name, value in {"_VOLWARD_COMPLETE": "bash_complete", "COMP_WORDS": "volward ro", "COMP_CWORD": "1"}.items():
        monkeypatch.setenv(name, value)
    assert main.run([]) == 0
    assert capsys.readouterr().out == "plain,rotate\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    monkeypatch.setenv("_VOLWARD_COMPLETE", f"{shell}_source")
    assert main.run([]) == 0
    assert "_volward_completion" in capsys.readouterr().out
