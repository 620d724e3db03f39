"""`volward system`: shown, then done; with --plan only shown. Files are real, and systemctl works on their links."""

import json
from functools import partial
from pathlib import Path

import pytest
from tests.unit.cli.driver import CONFIGURATION, Cli
from tests.unit.operations.system_root import UNITS, SystemRoot, system

from volward.operations import system_additions, system_install, system_removals

__all__ = ["system"]
TIMER = "volward-rotate.timer"


@pytest.fixture
def host(cli: Cli, system: SystemRoot) -> SystemRoot:
    """A host of its own below the command line."""
    for module, name in (
        (system_additions, "plan_install"),
        (system_removals, "plan_uninstall"),
        (system_install, "carry_out"),
    ):
        cli.monkeypatch.setattr(module, name, partial(getattr(module, name), root=system.root))
    return system


def test_install_shows_and_does(cli: Cli, host: SystemRoot) -> None:
    done = cli("system", "install")
    assert done.status == 0
    assert f"create {UNITS}/{TIMER}\n  --- /dev/null\n" in done.out
    assert "enable volward.service\n" in done.out
    assert done.out.endswith("install: 11 written, 4 enabled\n")
    assert TIMER in host.enabled()
    assert cli("system", "install").out == ("nothing to do, because every file is current and every unit is enabled\n")


@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_a_plan_is_only_shown(cli: Cli, host: SystemRoot, verb: str) -> None:
    if verb == "uninstall":
        host.install()
    before = host.names(), host.enabled()
    done = cli("system", verb, "--plan")
    assert f"{UNITS}/{TIMER}" in done.out
    told = json.loads(cli("system", verb, "--plan", "--json").out)
    assert told["changes_pending"] is True
    assert (host.names(), host.enabled()) == before


def test_uninstall_shows_and_does(cli: Cli, host: SystemRoot) -> None:
    host.install()
    (host.units / TIMER).write_text("mine\n")
    done = cli("system", "uninstall")
    assert "  -[Timer]" in done.out
    assert f"{UNITS}/{TIMER} is left alone: it is an administrator's" in done.out
    assert "WARNING: the next boot opens no volume, although the configuration has it open cache, queue," in done.out
    assert done.out.endswith("uninstall: 10 removed, 4 disabled\n")
    assert host.names() == [TIMER]
    assert "nothing is installed" in cli("system", "uninstall").out


def test_a_volume_that_no_boot_opens_is_not_missed(cli: Cli, host: SystemRoot) -> None:
    cli.configure(f"[defaults]\nopen_at_boot = false\n{CONFIGURATION}")
    host.install()
    assert "WARNING" not in cli("system", "uninstall").out


def test_uninstall_needs_no_configuration(cli: Cli, host: SystemRoot) -> None:
    cli.configure("volumes = 7\n")
    host.install()
    (host.units / "srv-volward-cache.mount").write_text("# Written by volward for volume cache\n")
    done = cli("system", "uninstall")
    assert (done.status, host.enabled()) == (0, [])
    assert "WARNING: the next boot opens no volume, and nothing watches them any more." in done.out


@pytest.mark.parametrize("verb", ["install", "uninstall"])
def test_json_tells_what_was_done_and_nothing_else(cli: Cli, host: SystemRoot, verb: str) -> None:
    if verb == "uninstall":
        host.install()
    told = json.loads(cli("system", verb, "--json").out)
    assert told["changes_pending"] is False
    assert {one["change"] for one in told["files"]} == {"create" if verb == "install" else "remove"}
    assert (len(host.names()) > 0) is (verb == "install")


def test_a_changed_file_and_the_consent(cli: Cli, host: SystemRoot) -> None:
    host.install()
    (host.units / TIMER).write_text("mine\n")
    done = cli("system", "install")
    assert (done.status, f"--replace {TIMER}" in done.out) == (0, True)
    assert (host.units / TIMER).read_text() == "mine\n"
    done = cli("system", "install", "--replace", TIMER)
    assert "  -mine\n" in done.out
    assert (host.units / TIMER).read_text() != "mine\n"


def test_a_file_that_is_none_of_volwards(cli: Cli, host: SystemRoot) -> None:
    done = cli("system", "install", "--replace", "sshd.service")
    assert (done.status, host.names()) == (2, [])
    assert "volward installs no sshd.service" in done.err


def test_status(cli: Cli, host: SystemRoot) -> None:
    host.install()
    host.states = {TIMER: "active"}
    Path(host.units / "volward-preflight.timer").write_text("mine\n")
    done = cli("system", "status")
    lines = {line.split()[0]: line.split()[1:] for line in done.out.splitlines()}
    assert lines[TIMER] == ["current", "yes", "active"]
    assert lines["volward-key@.service"] == ["current"]
    assert lines["volward-preflight.timer"] == ["changed", "yes", "inactive"]
    assert "volward-preflight.timer is left alone" in done.err
    assert "--plan" not in done.err
    told = json.loads(cli("system", "status", "--json").out)
    assert told["changes_pending"] is False


def test_status_of_a_host_without_them(cli: Cli, host: SystemRoot) -> None:
    done = cli("system", "status")
    assert "missing" in done.out
    assert "`volward system install` brings them up to date" in done.err
    assert host.names() == []


@pytest.mark.parametrize("verb", ["install", "uninstall", "status"])
def test_root_alone(cli: Cli, host: SystemRoot, verb: str) -> None:
    cli.monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert cli("system", verb).status == 77
