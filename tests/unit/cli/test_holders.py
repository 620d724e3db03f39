"""`volward holders`: what uses a volume, by name, also when that is nothing; it changes nothing."""

import pytest
from tests.unit.cli.driver import Cli

from volward.model import VolumeSpec

IN_USE = ("postgres (process 7, postgresql@17-main.service)", "mount at /srv/elsewhere")


@pytest.fixture
def asked(cli: Cli) -> list[str]:
    """Of which volumes the holders were asked for; cache is in use."""
    names: list[str] = []

    def who_holds(spec: VolumeSpec) -> tuple[str, ...]:
        names.append(spec.name)
        return IN_USE if spec.name == "cache" else ()

    cli.replace("volward.operations.close.who_holds", who_holds)
    return names


def test_each_volume_and_each_holder_has_its_line(cli: Cli, asked: list[str]) -> None:
    done = cli("holders", "queue", "cache")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == ["queue: nothing uses it", *(f"cache: {line}" for line in IN_USE)]
    assert asked == ["queue", "cache"]


@pytest.mark.parametrize(("arguments", "status"), [((), 2), (("cach",), 78)])
def test_a_volume_has_to_be_named_rightly(cli: Cli, asked: list[str], arguments: tuple[str, ...], status: int) -> None:
    done = cli("holders", *arguments)
    assert (done.status, asked) == (status, [])
    assert done.err != ""


def test_a_host_that_cannot_be_looked_at_is_no_bug(cli: Cli) -> None:
    def unreadable(spec: VolumeSpec) -> tuple[str, ...]:
        raise OSError(5, "Input/output error", "/sys/block")

    cli.replace("volward.operations.close.who_holds", unreadable)
    done = cli("holders", "cache")
    assert done.status == 71
    assert "Looking at cache stopped: /sys/block: Input/output error." in done.err


def test_root_alone(cli: Cli, asked: list[str]) -> None:
    cli.monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert (cli("holders", "cache").status, asked) == (77, [])
