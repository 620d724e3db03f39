"""The batches of one test run: each runs once, when the first of its cuts is asked for."""

from __future__ import annotations

from tests.faults import batch
from tests.faults.batch import Batch, Outcome
from tests.faults.cuts import Cut
from tests.lab.host import Host
from tests.lab.image import Image
from tests.lab.machine import Snapshot


class Cuts:
    """Runs a cut's whole batch when its outcome is first asked for."""

    def __init__(self, snapshot: tuple[Image, Snapshot], wanted: list[Cut]) -> None:
        self._snapshot = snapshot
        self._waiting = batch.split(wanted)
        self._outcomes: dict[Cut, Outcome] = {}

    def outcome(self, cut: Cut) -> Outcome:
        """Return what was seen. Raises what the batch raised, once; then its cuts count as not run."""
        for cuts in [b for b in self._waiting if cut in b]:
            self._waiting.remove(cuts)
            self._outcomes |= {c: Outcome(c, "") for c in cuts}
            self._run(cuts)
        return self._outcomes[cut]

    def _run(self, cuts: list[Cut]) -> None:
        host = Host(*self._snapshot)
        try:
            one = Batch(host, cuts)
            one.run()
            self._outcomes |= {o.cut: o for o in one.outcomes}
        finally:
            host.close()
