"""Many rotations on one host, each cut at a point of its own, then resumed, run again or given up."""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.batch import GUEST, PYTHON
from tests.faults.cuts import Power
from tests.faults.rotation_cuts import End, RotationCut
from tests.lab.host import MIB, WARM, Host
from tests.lab.image import Image
from tests.lab.machine import Snapshot
from tests.lab.ssh import Result
from tests.vault import lab_login
from tests.vault.certificates import Authority
from tests.vault.server import Server

FILES = "/srv/files"
MOST = 18
ESCROW = "/var/lib/escrow/keys"
FINISH = """
operation=$(ls /var/lib/volward/journal | sed -n "s/^\\(rotate-$1-[0-9a-f]*\\)\\.journal$/\\1/p")
[ -n "$operation" ] || {{ echo "nothing is unfinished"; exit 0; }}
{command}
"""
ENDINGS = {End.RESUME: 'resume "$operation"', End.AGAIN: 'rotate "$1" --yes', End.ABORT: 'abort "$operation"'}
AGAIN_WHEN_DUE = 'rotate --due "$1"'
OPEN = f'{shlex.join(WARM)} open "$1" && cat "/srv/volward/$1/canary"'


def finish(cut: RotationCut, end: End) -> str:
    """The script that ends a rotation. A recovery key needs a descriptor more than a warm start hands over."""
    if cut.recovery and end is not End.ABORT:
        return FINISH.format(command=f"volward {ENDINGS[end]} --recovery-fd 3 3>>{ESCROW}")
    ending = AGAIN_WHEN_DUE if cut.key.way == "due" and end is End.AGAIN else ENDINGS[end]
    return FINISH.format(command=f"{shlex.join(WARM)} {ending}")


@dataclass
class Outcome:
    """What was seen of one volume: before the rotation, right after its cut, and when it was ended."""

    cut: RotationCut
    volume: str
    reached: str = "not run"
    begun: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    ended: Result | None = None
    finished: Result | None = None  # when it could not be given up any more
    opened: Result | None = None


def split(cuts: Sequence[RotationCut]) -> list[list[RotationCut]]:
    """Cuts that share a host: of one kind of power, neighbours in the table; less than half an hour of them.

    Neighbours, so that a run that is ended has reported every cut of the hosts that are done.
    """
    batches: list[list[RotationCut]] = []
    for power in Power:
        of_power = [cut for cut in cuts if cut.power is power]
        batches += [of_power[start : start + MOST] for start in range(0, len(of_power), MOST)]
    return batches


class RotationBatch:
    """The cuts of one host."""

    def __init__(self, host: Host, cuts: Sequence[RotationCut], server: Server) -> None:
        self.host = host
        self.server = server
        self.power = cuts[0].power
        self.outcomes = [Outcome(cut, f"v{number}") for number, cut in enumerate(cuts)]
        self.volumes = [outcome.volume for outcome in self.outcomes]
        host.state_disk("/var/lib/escrow")
        self._files = host.disk("FILES", (128 + 66 * len(cuts)) * MIB)
        host.sh('mkfs.ext4 -q "$1"', self._files.link)
        self._mount_files()
        role = lab_login.allow(server, "cuts", token_ttl="60m")
        vault = lab_login.deliver(host, server, role)
        host.put("/etc/volward/volward.toml", vault + "".join(map(_configuration, self.outcomes)))
        host.sh("mkdir -p /var/lib/escrow; sync")

    def run(self) -> None:
        """Provision, cut, look, end, look."""
        plain = [o.volume for o in self.outcomes if not o.cut.recovery]
        escrowed = [o.volume for o in self.outcomes if o.cut.recovery]
        if plain:
            self.host.sh('volward apply --yes --no-recovery "$@"', *plain, timeout=3000)
        if escrowed:
            self.host.sh(f'volward apply --yes "$@" --recovery-fd 3 3>>{ESCROW}', *escrowed, timeout=3000)
        self.host.sh('for name; do echo "of $name" >"/srv/volward/$name/canary"; done; sync', *self.volumes)
        self._look("begun")
        said = self._python("cut.py", self._order())
        for outcome in self.outcomes:
            outcome.reached = said[outcome.volume]
        if self.power is Power.CUT:
            self.host.power_cut()
            self.host.power_on(cold=False)
            lab_login.reach(self.host, self.server.address)
            self._mount_files()
        self._look("before")
        for outcome in self.outcomes:
            self._end(outcome)
        self._look("after", keys=ESCROW)

    def _end(self, outcome: Outcome) -> None:
        name, cut = outcome.volume, outcome.cut
        outcome.ended = self.host.sh(finish(cut, cut.end), name, ok=None, timeout=600)
        if cut.end is End.ABORT and cut.no_way_back and outcome.ended.status:
            outcome.finished = self.host.sh(finish(cut, End.RESUME), name, ok=None, timeout=600)
        outcome.opened = self.host.sh(OPEN, name, ok=None, timeout=600)

    def _order(self) -> dict[str, Any]:
        return {
            "verb": "rotate",
            "stop": self.power is Power.CUT,
            "at_once": 2,
            "recovery": ESCROW,
            "cuts": [
                {
                    "volume": o.volume,
                    "step": o.cut.step,
                    "point": o.cut.point,
                    "provider": o.cut.key.provider,
                    "way": o.cut.key.way,
                    "cut_before": o.cut.cut_before,
                    "recovery": True,
                }
                for o in self.outcomes
            ],
        }

    def _look(self, which: str, *, keys: str | None = None) -> None:
        for volume, facts in self._python("look.py", {"volumes": self.volumes, "keys": keys}).items():
            setattr(self.outcomes[self.volumes.index(volume)], which, facts)

    def _python(self, script: str, order: object) -> Any:
        source = (GUEST / script).read_text()
        return json.loads(self.host.run(PYTHON, "-c", source, input=json.dumps(order), timeout=3000).stdout)

    def _mount_files(self) -> None:
        self.host.sh('mkdir -p "$2"; mountpoint -q "$2" || mount "$1" "$2"', self._files.link, FILES)


class Rotations:
    """Runs a cut's whole batch when its outcome is first asked for."""

    def __init__(self, snapshot: tuple[Image, Snapshot], wanted: list[RotationCut], directory: Path) -> None:
        self._snapshot = snapshot
        self._directory = directory
        self._waiting = split(wanted)
        self._outcomes: dict[RotationCut, Outcome] = {}

    def outcome(self, cut: RotationCut) -> Outcome:
        """Return what was seen. Raises what the batch raised, once; then its cuts count as not run."""
        for cuts in [batch for batch in self._waiting if cut in batch]:
            self._waiting.remove(cuts)
            self._outcomes |= {one: Outcome(one, "") for one in cuts}
            self._run(cuts)
        return self._outcomes[cut]

    def _run(self, cuts: list[RotationCut]) -> None:
        place = Path(tempfile.mkdtemp(dir=self._directory))
        with Server(place / "vault", authority=Authority(place / "ca")) as server:
            host = Host(*self._snapshot)
            try:
                batch = RotationBatch(host, cuts, server)
                batch.run()
                self._outcomes |= {one.cut: one for one in batch.outcomes}
            finally:
                host.close()


def _configuration(outcome: Outcome) -> str:
    name, key = outcome.volume, outcome.cut.key
    keys = '["vault"]' if key.is_in_vault else '["credential", "tpm2"]' if key.store == "tpm2" else '["credential"]'
    keep = f'[volumes.{name}.vault]\nkeep = "{key.store}"\n' if key.is_in_vault else ""
    return f"""
[volumes.{name}]
device = "file:{FILES}/{name}.img"
size = "64 MiB"
store = "directory"
mount_point = "/srv/volward/{name}"
keys = {keys}
[volumes.{name}.credential]
seal = "host"
[volumes.{name}.recovery]
memory = "64 MiB"
{keep}"""
