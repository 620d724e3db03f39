"""The context picks volumes by name and draws tables."""

from pathlib import Path

import pytest

from volward.cli.context import Context
from volward.errors import ConfigurationError, UnknownVolumeError

GOOD = "".join(
    f"""
[volumes.{name}]
device = "/dev/disk/by-id/virtio-{name}"
store = "redis"
mount_point = "/srv/volward/{name}"
"""
    for name in ("cache", "queue")
)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    (tmp_path / "volward.toml").write_text(GOOD)
    return Context(tmp_path)


def test_select(context: Context) -> None:
    assert [spec.name for spec in context.select(())] == ["cache", "queue"]
    assert [spec.name for spec in context.select(("queue", "queue"))] == ["queue"]
    assert context.specs is context.specs


def test_an_unknown_volume_comes_with_the_near_one(context: Context) -> None:
    with pytest.raises(UnknownVolumeError) as caught:
        context.select(("cach",))
    assert caught.value.resolution == 'Did you mean "cache"?'


def test_a_broken_configuration_is_raised_when_it_is_asked_for(tmp_path: Path) -> None:
    context = Context(tmp_path)
    with pytest.raises(ConfigurationError):
        _ = context.specs


def test_a_table_without_a_terminal_is_plain(context: Context, capsys: pytest.CaptureFixture[str]) -> None:
    context.table(("NAME", "STATE"), [("a", "open"), ("longer", "closed")])
    assert capsys.readouterr().out == "NAME    STATE\na       open\nlonger  closed\n"
