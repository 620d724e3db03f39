"""Transactions without a pause on a PostgreSQL in the host, and what came of them: not one may fail."""

from __future__ import annotations

from tests.lab.databases import POSTGRES
from tests.lab.host import Host

RATE = 5  # a second
_UNIT = "load.service"
_REPORT = "/run/load"
_BENCH = "/usr/lib/postgresql/17/bin/pgbench"
_COUNT = "runuser -u postgres -- psql --no-psqlrc -At -c 'SELECT count(*) FROM pgbench_history' postgres"
_WAIT = f"""
before=$({_COUNT})
for _ in $(seq 600); do
    [ "$({_COUNT})" -gt $((before + 10)) ] && exit
    systemctl is-active --quiet {_UNIT} || break
    sleep 0.2
done
cat {_REPORT} >&2
exit 1
"""


class Load:
    """pgbench, from its start to `end`: two clients, and no more transactions than leave the others a processor."""

    def __init__(self, host: Host) -> None:
        """Start the cluster in the volume `pg`, and the clients."""
        self._host = host
        POSTGRES.start(host)
        host.sh(f"cd /tmp; runuser -u postgres -- {_BENCH} --initialize --quiet --scale=1 postgres 2>&1", timeout=600)
        words = [_BENCH, "--time=36000", "--client=2", f"--rate={RATE}", "--no-vacuum", "postgres"]
        properties = [f"--property=Standard{name}=append:{_REPORT}" for name in ("Output", "Error")]
        # Kept when it has ended, so that its exit status can be told.
        properties += ["--property=RemainAfterExit=yes", "--property=User=postgres"]
        host.run("systemd-run", "--quiet", f"--unit={_UNIT}", *properties, *words)
        self.goes_on()

    def goes_on(self) -> None:
        """Wait until it has done more transactions than it had, seen from a new connection."""
        self._host.sh(_WAIT, timeout=600)

    def in_use(self) -> tuple[str, ...]:
        """The mapping, the mount, the server and the clients, each by what changes when another takes its place."""
        host = self._host
        mapping = host.run("dmsetup", "info", "--columns", "--noheadings", "-o", "uuid,minor", "volward-pg").stdout
        sequence = host.sh("cat /sys/class/block/$(basename $(readlink -e /dev/mapper/volward-pg))/diskseq").stdout
        where = ["--output", "ID,MAJ:MIN,OPTIONS", "--mountpoint", POSTGRES.mount_point]
        mount = host.run("findmnt", "--noheadings", *where).stdout
        units = host.run("systemctl", "show", "--property=MainPID,NRestarts,ActiveState", POSTGRES.unit, _UNIT).stdout
        assert units.count("ActiveState=active") == 2, units
        return mapping, sequence, mount, units

    def end(self) -> str:
        """End it as its time would (SIGALRM is how it tells), and return its report: there is none without success."""
        host = self._host
        host.run("systemctl", "kill", "--signal=ALRM", "--kill-whom=main", _UNIT)
        host.sh(f'until [ "$(systemctl show --property=MainPID --value {_UNIT})" = 0 ]; do sleep 0.2; done')
        report = host.get(_REPORT).decode()
        status = host.run("systemctl", "show", "--property=Result,ExecMainStatus", _UNIT).stdout
        assert set(status.split()) == {"Result=success", "ExecMainStatus=0"}, status + report
        assert "number of failed transactions: 0 (0.000%)" in report, report
        return report
