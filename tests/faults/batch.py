"""Many cuts on one host: each volume is cut at a point of its own, then one `volward apply` finishes them all.

A host per cut would take hours under emulation. Volumes know nothing of each other (locks, journal, keys and
devices are their own), so a host carries as many as it has room for disks.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.cuts import Cut, Kind, Power
from tests.lab.host import MIB, Host
from tests.lab.qemu import PORTS
from tests.lab.ssh import Result

BLOCK_VOLUMES = PORTS - 2  # of the disks that a host has room for one is its state, one carries the files
DISK_BYTES = 96 * MIB
FILES = "/srv/files"
FILES_BYTES = 4096 * MIB
ESCROW = "/var/lib/escrow/keys"  # on a disk, as a real escrow: a recovery key was handed over before the cut
PYTHON = "/opt/volward/bin/python"
GUEST = Path(__file__).parent / "guest"
APPLY = f'volward apply --yes "$@" --recovery-fd 3 3>>{ESCROW}'


@dataclass
class Outcome:
    """What was seen of one volume: right after the cut, and after the apply that follows."""

    cut: Cut
    volume: str
    reached: str = "not run"  # "cut" when it was cut where it should be
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    apply: Result | None = None
    again: Result | None = None


def split(cuts: Sequence[Cut]) -> list[list[Cut]]:
    """Cuts that share a host: of one kind of power, and no more block volumes than there are disks."""
    batches: list[list[Cut]] = []
    for power in Power:
        of_power = [cut for cut in cuts if cut.power is power]
        blocks = sum(cut.kind is Kind.BLOCK for cut in of_power)
        count = -(-blocks // BLOCK_VOLUMES) or 1
        # Dealt out per kind, so that each host has its share of both.
        ordered = sorted(of_power, key=lambda cut: cut.kind)
        batches += [ordered[number::count] for number in range(count) if ordered[number::count]]
    return batches


class Batch:
    """The cuts of one host."""

    def __init__(self, host: Host, cuts: Sequence[Cut], *, cold: bool = False) -> None:
        self.host = host
        self.outcomes = [Outcome(cut, f"v{number}") for number, cut in enumerate(cuts)]
        self.volumes = [outcome.volume for outcome in self.outcomes]
        self.cold = cold
        self._disks = {
            o.volume: host.disk(f"CUT-{o.volume}", DISK_BYTES) for o in self.outcomes if o.cut.kind is Kind.BLOCK
        }
        if not cold:
            host.state_disk("/var/lib/escrow")
            self._files = host.disk("FILES", FILES_BYTES)
            host.sh('mkfs.ext4 -q "$1"', self._files.link)
            self._mount_files()
        host.put("/etc/volward/volward.toml", "".join(map(self._configuration, self.outcomes)))
        host.sh("mkdir -p /var/lib/escrow; sync")

    def run(self) -> None:
        """Cut, look, apply, look, apply again, look."""
        power = self.outcomes[0].cut.power
        for outcome, seen in zip(self.outcomes, self._cut(stop=power is Power.CUT).values(), strict=True):
            outcome.reached = seen
        if power is Power.CUT:
            self.host.power_cut()
            self.host.power_on(cold=self.cold)
            if self.cold:  # what the boot opens by itself holds the lock of its volumes
                self.host.run("systemctl", "is-system-running", "--wait", ok=None, timeout=900)
            self._mount_files()
        for volume, facts in self._look().items():
            self._of(volume).before = facts
        self._each("apply", APPLY)
        self.host.sh('for name; do echo "of $name" >"/srv/volward/$name/canary"; done; sync', *self.volumes, ok=None)
        self._each("again", 'volward apply "$@"')
        for volume, facts in self._look(keys=ESCROW).items():
            self._of(volume).after = facts

    def _cut(self, *, stop: bool) -> dict[str, str]:
        order = {
            "stop": stop,
            "at_once": 2,
            "recovery": ESCROW,
            "cuts": [
                {
                    "volume": o.volume,
                    "step": o.cut.step,
                    "point": o.cut.point,
                    "recovery": o.cut.recovery,
                }
                for o in self.outcomes
            ],
        }
        said = self._python("cut.py", order)
        return {volume: said[volume] for volume in self.volumes}

    def _look(self, *, keys: str | None = None) -> dict[str, Any]:
        return dict(self._python("look.py", {"volumes": self.volumes, "keys": keys}))

    def _python(self, script: str, order: object) -> Any:
        source = (GUEST / script).read_text()
        done = self.host.run(PYTHON, "-c", source, input=json.dumps(order), timeout=1200)
        return json.loads(done.stdout)

    def _each(self, which: str, script: str) -> None:
        """Run the script with two parts of the volumes side by side, for each of the host's processors one."""
        escrowed = [o for o in self.outcomes if o.cut.recovery]
        plain = [o for o in self.outcomes if not o.cut.recovery]

        def run(outcomes: list[Outcome], text: str) -> None:
            done = self.host.sh(text, *[o.volume for o in outcomes], ok=None, timeout=1200)
            for outcome in outcomes:
                setattr(outcome, which, done)

        halves = [(escrowed, script), (plain, script.partition(" --recovery-fd")[0])]
        threads = [threading.Thread(target=run, args=half) for half in halves if half[0]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _of(self, volume: str) -> Outcome:
        return self.outcomes[self.volumes.index(volume)]

    def _mount_files(self) -> None:
        if self.cold:  # they are on the root disk, which is the same after a boot
            return
        self.host.sh('mkdir -p "$2"; mountpoint -q "$2" || mount "$1" "$2"', self._files.link, FILES)

    def _configuration(self, outcome: Outcome) -> str:
        name = outcome.volume
        if outcome.cut.kind is Kind.BLOCK:
            device, keys = f'device = "{self._disks[name].link}"', '["credential", "tpm2"]'
        else:
            device, keys = f'device = "file:{FILES}/{name}.img"\nsize = "64 MiB"', '["credential"]'
        return f"""
[volumes.{name}]
{device}
store = "directory"
mount_point = "/srv/volward/{name}"
keys = {keys}
[volumes.{name}.credential]
seal = "{outcome.cut.seal}"
[volumes.{name}.recovery]
memory = "64 MiB"
"""
