"""`volward init` creates one file and never overwrites."""

from pathlib import Path

import pytest

from volward.cli import main
from volward.config import load
from volward.report import survey
from volward.report.survey import Survey


@pytest.fixture(autouse=True)
def _plain_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "look", Survey)


def test_writes_a_new_file_that_loads(tmp_path: Path) -> None:
    file = tmp_path / "etc/volward.toml"
    assert main.run(["init", "--output", str(file)]) == 0
    assert file.stat().st_mode & 0o777 == 0o644
    assert list(load(file.parent).volumes) == ["data"]


def test_never_overwrites(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "volward.toml"
    file.write_text("mine")
    assert main.run(["init", "--output", str(file)]) == 2
    assert file.read_text() == "mine"
    assert "left as it is" in capsys.readouterr().err


def test_never_follows_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "volward.toml").symlink_to(tmp_path / "target")
    assert main.run(["init", "--output", str(tmp_path / "volward.toml")]) == 2
    assert not (tmp_path / "target").exists()


def test_prints_without_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["init"]) == 0
    assert "[volumes.data]" in capsys.readouterr().out
