"""`volward open`: which volumes, what is told, and the statuses that the boot unit lives by."""

from collections.abc import Sequence
from typing import Any

import pytest
from tests.unit.cli.driver import CONFIGURATION, Cli

from volward.errors import KeyDeniedError, NoOpenerError
from volward.model import Action, Goal, Plan, Step, VolumeSpec
from volward.operations.open import Opened

OPEN = Action(Step.OPEN, "open it", "it is closed")
DENIED = KeyDeniedError("No.", resolution="Ask.")
AWAY = NoOpenerError("Nobody could.", resolution="Wait.")


@pytest.fixture
def calls(cli: Cli) -> dict[str, Any]:
    """What reached the operation; its answers are under "opened"."""
    seen: dict[str, Any] = {"opened": {}}

    def open_volumes(specs: Sequence[VolumeSpec], watcher: object, **options: Any) -> tuple[Opened, ...]:
        seen.update(options, volumes=[spec.name for spec in specs], watcher=watcher)
        plain = {spec.name: Opened(spec.name, Plan(spec.name, (OPEN,)), "credential") for spec in specs}
        return tuple((plain | seen["opened"])[spec.name] for spec in specs)

    cli.replace("volward.operations.open.open_volumes", open_volumes)
    return seen


def test_named_volumes(cli: Cli, calls: dict[str, Any]) -> None:
    done = cli("open", "queue")
    assert (done.status, done.out) == (0, "queue: open and mounted (key: credential)\n")
    assert (calls["volumes"], calls["goal"]) == (["queue"], Goal.OPEN)
    assert (calls["deadline_seconds"], calls["ask_recovery"]) == (60.0, False)
    assert cli.demanded == [(["queue"], False)]


def test_all_leaves_out_what_is_not_for_the_boot(cli: Cli, calls: dict[str, Any]) -> None:
    cli.configure(CONFIGURATION + "open_at_boot = false\n")
    assert cli("open", "--all", "--timeout", "5").status == 0
    assert calls["volumes"] == ["cache"]
    assert calls["deadline_seconds"] == 5.0
    cli("open", "queue")
    assert calls["volumes"] == ["queue"], "one that is named is opened all the same"


def test_the_mapping_alone(cli: Cli, calls: dict[str, Any]) -> None:
    done = cli("open", "--no-mount", "queue")
    assert (done.status, done.out) == (0, "queue: open as /dev/mapper/volward-queue (key: credential)\n")
    assert calls["goal"] is Goal.MAP


def test_a_scratch_volume_is_not_opened_without_mount(cli: Cli, calls: dict[str, Any]) -> None:
    """Its mapping has a new key each time: there is no file system to be mended."""
    cli.configure(
        CONFIGURATION + '[volumes.tmp]\ndevice = "/dev/disk/by-id/tmp"\nstore = "scratch"\nmount_point = "/tmp/s"\n'
    )
    done = cli("open", "--no-mount", "queue", "tmp")
    assert (done.status, "volumes" in calls) == (2, False)
    assert "made anew: tmp." in done.err


@pytest.mark.parametrize("arguments", [(), ("--all", "cache"), ("--timeout=-1", "cache"), ("--all", "--no-mount")])
def test_a_command_line_that_says_too_little_or_too_much(
    cli: Cli, calls: dict[str, Any], arguments: tuple[str, ...]
) -> None:
    assert cli("open", *arguments).status == 2
    assert "volumes" not in calls


def test_nothing_to_do(cli: Cli, calls: dict[str, Any]) -> None:
    calls["opened"]["cache"] = Opened("cache", Plan("cache", (), "cache is open and mounted"))
    assert cli("open", "cache").out == "cache: nothing to do, because cache is open and mounted\n"


def test_what_failed_before_is_told(cli: Cli, calls: dict[str, Any]) -> None:
    opened = Opened("cache", Plan("cache", (OPEN,)), "credential", ("tpm2: PCR 7 has changed",))
    calls["opened"]["cache"] = opened
    done = cli("open", "cache")
    assert done.status == 0
    assert "degraded: tpm2: PCR 7 has changed" in done.err


def test_one_fails_and_the_other_opens(cli: Cli, calls: dict[str, Any]) -> None:
    calls["opened"]["cache"] = Opened("cache", None, error=AWAY)
    done = cli("open", "--all")
    assert done.status == 69
    assert done.err == "cache: Nobody could.\n  Wait.\n  (VW0407, `volward explain VW0407`)\n"
    assert "queue: open and mounted" in done.out


def test_the_status_is_of_the_volume_that_waits(cli: Cli, calls: dict[str, Any]) -> None:
    calls["opened"] |= {"cache": Opened("cache", None, error=DENIED), "queue": Opened("queue", None, error=AWAY)}
    assert cli("open", "cache", "queue").status == 69


def test_recovery(cli: Cli, calls: dict[str, Any]) -> None:
    cli("open", "--recovery", "cache")
    assert calls["ask_recovery"] is True
