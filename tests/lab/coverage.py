"""Coverage of volward's code as it runs in the virtual host, when $VOLWARD_COVERAGE is 1.

Every Python process of the agent's environment measures itself (coverage's process start-up hook in a
.pth file, so units and children are included). A process that is killed leaves no data.
"""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

from tests.lab.recipe import CHECKOUT

if TYPE_CHECKING:
    from tests.lab.host import Host

DATA = "/var/lib/volward-coverage"
CONFIGURATION = f"""\
[run]
branch = true
parallel = true
source_pkgs = volward
data_file = {DATA}/.coverage
sigterm = true
# A command that guest/warm_server.py runs had its imports before.
disable_warnings = module-not-measured
"""
# One line, because site.py executes the lines of a .pth file that begin with `import`.
HOOK = (
    "import os; os.environ.setdefault('COVERAGE_PROCESS_START', '/etc/volward-coverage.rc'); "
    "import coverage; coverage.process_startup()\n"
)
OUTPUT = CHECKOUT / ".coverage-data"


def is_wanted() -> bool:
    return os.environ.get("VOLWARD_COVERAGE") == "1"


def enable(host: Host) -> None:
    """Let every later start of the agent's Python in this host measure itself."""
    script = """
    mkdir -p "$1"
    # Any user that volward becomes writes there.
    chmod 1777 "$1"
    cat >/etc/volward-coverage.rc
    printf '%s' "$2" >"$(echo /opt/volward/lib/python3*/site-packages)/volward-coverage.pth"
    """
    host.sh(script, DATA, HOOK, input=CONFIGURATION)


def collect(host: Host) -> None:
    """Bring what was measured to .coverage-data/ in the checkout, for `coverage combine`.

    The paths in it are the guest's; [tool.coverage.paths] in pyproject.toml maps them.
    """
    archive = host.run("tar", "--create", "--directory", DATA, ".").stdout_bytes
    OUTPUT.mkdir(exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar.getmembers():
            content = tar.extractfile(member) if member.isfile() else None
            if content is not None and member.size:  # a process that a cut ended may leave an empty one
                # All hosts have one name and the same process ids; the machine's name tells them apart.
                suffix = member.name.rsplit("/", 1)[-1].removeprefix(".coverage.")
                (OUTPUT / f".coverage.{host.directory.name}.{suffix}").write_bytes(content.read())
