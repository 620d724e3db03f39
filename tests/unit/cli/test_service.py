"""`volward service`: nobody types it, and it becomes the daemon; its own process keeps nothing of the command line."""

import importlib.util
import sys

import click
import pytest
from tests.unit.cli.driver import Cli

from volward.cli import main, privilege
from volward.errors import NoDeviceMapperError


@pytest.fixture
def started(cli: Cli) -> list[list[str]]:
    """What the process became."""
    calls: list[list[str]] = []
    cli.monkeypatch.setattr("volward.cli.service.DEFAULT_ROOT", cli.root)

    def execv(program: str, argv: list[str]) -> None:
        assert program == argv[0]
        calls.append(argv)

    cli.replace("os.execv", execv)
    return calls


def test_it_becomes_the_daemon(cli: Cli, started: list[list[str]]) -> None:
    assert cli("service").status == 0
    assert started == [[sys.executable, "-P", "-m", "volward.service"]]
    assert importlib.util.find_spec("volward.service.__main__") is not None, "there is no such program"


def test_root_alone(cli: Cli, started: list[list[str]]) -> None:
    cli.monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert (cli("service").status, started) == (77, [])


def test_without_device_mapper_there_is_nothing_to_watch(cli: Cli, started: list[list[str]]) -> None:
    def demand(*, load: bool) -> None:
        assert load
        raise NoDeviceMapperError("The kernel has no device mapper.", resolution="See `make demo`.")

    cli.monkeypatch.setattr("volward.cli.service.demand_device_mapper", demand)
    assert privilege.demand_device_mapper is not demand
    assert (cli("service").status, started) == (72, [])


def test_nobody_is_offered_what_only_units_start(cli: Cli) -> None:
    assert "service" in main.HIDDEN
    assert not set(main.HIDDEN) & {name for section in main.COMMANDS.values() for name in section}
    context = click.Context(main.volward)
    for name in main.HIDDEN:
        command = main.volward.get_command(context, name)
        assert command is not None
        assert command.hidden
        assert f"\n  {name} " not in cli("--help").out
    wrong = cli("servic")
    assert wrong.status == 2
    assert "`volward service`" not in wrong.err


def test_another_configuration_is_not_taken_for_the_daemons(cli: Cli, started: list[list[str]]) -> None:
    done = cli("--config", "/nonexistent", "service")
    assert (done.status, started) == (2, [])
    assert f"The daemon reads {cli.root}, and no other" in done.err
