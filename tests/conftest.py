"""Fixtures of the lab: `host` is a fresh virtual host for each test that asks for one.

A lab that cannot run here skips those tests with the reason; on CI, and with VOLWARD_LAB=require, it
fails them. VOLWARD_LAB_KEEP=1 leaves the directory of a failed test's machine for inspection.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator

import pytest
from tests.lab import availability, coverage, layer, machine
from tests.lab.errors import LabError, LabUnavailableError
from tests.lab.host import Host
from tests.lab.image import Image
from tests.lab.machine import Snapshot

FAILED = pytest.StashKey[bool]()
CONSOLE_LINES = 40
JOURNAL_LINES = 200


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="the long matrices too (tests marked `full`)")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        # A test that asks for a host is a lab test, whether it says so or not.
        if {"host", "shared_host"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.lab)
    if not config.getoption("--full"):
        # Not skipped: nobody asked for them, so there is nothing to explain.
        long = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have to show: figures that are not asserted, under the property `shown`."""
    for report in terminalreporter.stats.get("passed", ()):
        for name, value in report.user_properties:
            if name == "shown":
                terminalreporter.write_line(str(value))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Print with a failed test what its host had to say."""
    report = yield
    used = getattr(item, "funcargs", {})
    host = used.get("host") or used.get("shared_host")
    if report.failed and isinstance(host, Host):
        item.stash[FAILED] = True
        report.sections.append(("serial console of the host", host.console_tail(CONSOLE_LINES)))
        report.sections.append(("journal of volward in the host", _journal(host)))
        if os.environ.get("VOLWARD_LAB_KEEP") == "1":
            report.sections.append(("machine directory", str(host.directory)))
    return report


def _journal(host: Host) -> str:
    if not host.machine.is_on:
        return "(the host is off)"
    try:
        # Without a unit of that name loaded, the pattern is an error of journalctl's, and no lines are to be had.
        match = ("--unit=volward*", f"--lines={JOURNAL_LINES}")
        done = host.run("journalctl", "--no-pager", "--all", *match, timeout=60, ok=(0, 1))
    except LabError as error:
        return f"(not to be had: {error})"
    return done.stdout


@pytest.fixture(scope="session")
def lab_snapshot() -> tuple[Image, Snapshot]:
    """The snapshot that hosts are restored from, with this checkout's volward installed.

    The image must have been built (`python3 -m tests.lab build`); only the layer with volward itself
    is brought up to date here, which takes seconds.
    """
    try:
        availability.check()
        machine.sweep()
        return layer.refresh()
    except LabUnavailableError as reason:
        if availability.is_required():
            pytest.fail(f"the lab is required here, and cannot run: {reason}", pytrace=False)
        pytest.skip(str(reason))


@contextlib.contextmanager
def _fresh_host(snapshot: tuple[Image, Snapshot], node: pytest.Item | pytest.Collector) -> Iterator[Host]:
    """A host for as long as it is needed; at its end every unlocking key that was used in it is looked for."""
    fresh = Host(*snapshot)
    clean = False
    measured = coverage.is_wanted() and node.get_closest_marker("measured") is not None
    try:
        if measured:
            coverage.enable(fresh)
        yield fresh
        if fresh.machine.is_on:
            if measured:
                coverage.collect(fresh)
            hits = fresh.secrets_scan([*fresh.secrets, *fresh.stored_keys()])
            assert not hits, "secrets were found in the host:\n" + "\n".join(map(str, hits))
        clean = not node.stash.get(FAILED, False)
    finally:
        fresh.close(keep=not clean and os.environ.get("VOLWARD_LAB_KEEP") == "1")


@pytest.fixture
def host(lab_snapshot: tuple[Image, Snapshot], request: pytest.FixtureRequest) -> Iterator[Host]:
    """A fresh virtual host. Keys that a test adds to `host.secrets` are looked for when it is over."""
    with _fresh_host(lab_snapshot, request.node) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def shared_host(lab_snapshot: tuple[Image, Snapshot], request: pytest.FixtureRequest) -> Iterator[Host]:
    """A virtual host for all tests of a module, where each can leave it as the next one wants it."""
    with _fresh_host(lab_snapshot, request.node) as fresh:
        yield fresh
