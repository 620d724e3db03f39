"""The fixture of the cuts, and their counts in the summary of the test run."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests.faults import matrix, rotation_counts
from tests.faults.cuts import Cut
from tests.faults.rotation_batch import Rotations
from tests.faults.rotation_counts import RotationCounts
from tests.faults.rotation_cuts import CUTS, RotationCut, in_every_run
from tests.faults.session import Cuts
from tests.lab.image import Image
from tests.lab.machine import Snapshot

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
COUNTS = pytest.StashKey[matrix.Counts]()
OF_ROTATIONS = pytest.StashKey[RotationCounts]()


@pytest.fixture(scope="session")
def cuts(lab_snapshot: tuple[Image, Snapshot], request: pytest.FixtureRequest) -> Iterator[Cuts]:
    """The outcomes of the cuts whose tests were selected."""
    found = [_cut(item) for item in request.session.items]
    yield Cuts(lab_snapshot, [cut for cut in found if isinstance(cut, Cut)])


@pytest.fixture(scope="session")
def rotations(
    lab_snapshot: tuple[Image, Snapshot], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rotations]:
    """The outcomes of the cut rotations whose tests were selected."""
    found = [_cut(item) for item in request.session.items]
    wanted = [cut for cut in found if isinstance(cut, RotationCut)]
    yield Rotations(lab_snapshot, wanted, tmp_path_factory.mktemp("rotations"))


def _cut(item: pytest.Item) -> Cut | RotationCut | None:
    callspec = getattr(item, "callspec", None)
    cut = callspec.params.get("cut") if callspec else None
    return cut if isinstance(cut, Cut | RotationCut) else None


def pytest_configure(config: pytest.Config) -> None:
    config.stash[COUNTS], config.stash[OF_ROTATIONS] = matrix.Counts(), RotationCounts()
    config.pluginmanager.register(_Count(config.stash[COUNTS], config.stash[OF_ROTATIONS]))


class _Count:
    """Counts the reports as they come in, from this process or from a worker."""

    def __init__(self, *counts: matrix.Counts | RotationCounts) -> None:
        self._counts = counts

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            for counts in self._counts:
                counts.add(dict(report.user_properties), passed=report.passed)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    cut = _cut(item)
    if call.when == "call" and cut:
        # As text, which travels from a worker to the process that counts.
        report.user_properties += (matrix if isinstance(cut, Cut) else rotation_counts).properties(cut)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counts, of_rotations = config.stash[COUNTS], config.stash[OF_ROTATIONS]
    for line in (*counts.summary(), *of_rotations.summary()):
        terminalreporter.write_line(line)
    if hasattr(config, "workerinput"):
        return
    if counts.has_random:
        _write(terminalreporter, "matrix.md", counts.page())
    if of_rotations.is_whole:
        _write(terminalreporter, "rotation-matrix.md", of_rotations.page(sum(map(in_every_run, CUTS))))


def _write(terminalreporter: pytest.TerminalReporter, name: str, page: str) -> None:
    (REFERENCE / name).write_text(page)
    terminalreporter.write_line(f"the counts are in {REFERENCE / name}")
