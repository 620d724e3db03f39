"""The fixture of the cuts, and their counts in the summary of the test run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator

import pytest
from tests.faults.cuts import Cut, Power
from tests.faults.rotation_batch import Rotations
from tests.faults.rotation_cuts import RotationCut
from tests.faults.session import Cuts
from tests.lab.image import Image
from tests.lab.machine import Snapshot

PROPERTY = "cut"
COUNTS = pytest.StashKey[Counter[tuple[Power, bool]]]()


@pytest.fixture(scope="session")
def cuts(lab_snapshot: tuple[Image, Snapshot], request: pytest.FixtureRequest) -> Iterator[Cuts]:
    """The outcomes of the cuts whose tests were selected."""
    found = [_cut(item) for item in request.session.items]
    yield Cuts(lab_snapshot, [cut for cut in found if isinstance(cut, Cut)])


@pytest.fixture(scope="session")
def rotations(lab_snapshot: tuple[Image, Snapshot], request: pytest.FixtureRequest) -> Iterator[Rotations]:
    """The outcomes of the cut rotations whose tests were selected."""
    found = [_cut(item) for item in request.session.items]
    yield Rotations(lab_snapshot, [cut for cut in found if isinstance(cut, RotationCut)])


def _cut(item: pytest.Item) -> Cut | RotationCut | None:
    callspec = getattr(item, "callspec", None)
    cut = callspec.params.get("cut") if callspec else None
    return cut if isinstance(cut, Cut | RotationCut) else None


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COUNTS] = Counter()
    config.pluginmanager.register(_Count(config.stash[COUNTS]))


class _Count:
    """Counts the reports as they come in, from this process or from a worker."""

    def __init__(self, counts: Counter[tuple[Power, bool]]) -> None:
        self._counts = counts

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties:
            if name == PROPERTY and report.when == "call":
                self._counts[Power[str(value)], report.passed] += 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    cut = _cut(item)
    if call.when == "call" and cut:
        report.user_properties.append((PROPERTY, cut.power.name))  # travels from a worker to the one who counts
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counts = config.stash[COUNTS]
    if not counts:
        return
    recovered = {power: counts[power, True] for power in Power}
    names = {Power.KILL: "SIGKILL", Power.CUT: "power cuts"}
    parts = ", ".join(f"{number} {names[power]}" for power, number in recovered.items())
    terminalreporter.write_line(f"cuts: {sum(recovered.values())} of {counts.total()} recovered ({parts})")
