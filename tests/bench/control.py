"""Memory of the control socket: a bare asyncio program against one that serves it, and other libraries beside it.

python tests/bench/control.py [--rounds N] [--limit RATIO]

PSS of /proc/PID/smaps_rollup (proc(5)). The daemon's side holds eight volumes and has answered 200 clients before it is
measured. Libraries that were not taken are measured if they are installed: their import alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

AGENT = Path(__file__).parents[2] / "agent"
WAIT = "print('ready', flush=True)\nawait asyncio.Event().wait()\n"
BARE = "import asyncio\n{imports}\nasync def main():\n    {body}\nasyncio.run(main())\n"
SERVING = """
import asyncio, dataclasses, sys
sys.path.insert(0, {agent!r})
from pathlib import Path
from volward.service import endpoint
from volward.service.control import ControlServer
from volward.service.live import Failure, LiveStatus, LiveVolume, Reloaded

VOLUMES = tuple(
    LiveVolume(f"volume{{n}}", "waiting", 1.0, f"/srv/volward/volume{{n}}", waits_for="Vault", next_try=2.0,
               failure=Failure("VW0401", "Vault is sealed. " * 10, "Unseal it."), consumers_waiting=("a.service",))
    for n in range(8)
)

class Daemon:
    def snapshot(self): return LiveStatus(1, "0", 1.0, volumes=VOLUMES)
    async def reload(self): return Reloaded(True)
    async def changed(self, since): await asyncio.Event().wait()

async def main():
    with endpoint.bound(Path({path!r})) as listening:
        await ControlServer(Daemon()).start(listening)
        for _ in range(200):
            reader, writer = await asyncio.open_unix_connection({path!r}, limit=2**20)
            writer.write(b'{{"method": "io.volward.Control.Status"}}\\0')
            await reader.readuntil(b"\\0")
            writer.close()
            await writer.wait_closed()
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
OTHERS = ("varlink", "asyncvarlink", "h11", "aiohttp.web")
MINE = "volward's control socket, 8 volumes"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=2.0, help="the ratio above which this fails")
    arguments = parser.parse_args()
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        programs = {"bare asyncio": _importing("")}
        programs[MINE] = SERVING.format(agent=str(AGENT), path=f"{directory}/control.sock")
        programs |= {f"asyncio, {name} imported": _importing(f"import {name}") for name in OTHERS if _installed(name)}
        for _ in range(arguments.rounds):
            for name, program in programs.items():
                found.setdefault(name, []).append(_pss_mib(program))
    for name, sizes in found.items():
        print(f"{name:38} median {statistics.median(sizes):6.1f} MiB PSS")
    for name in OTHERS:
        if not _installed(name):
            print(f"{name:38} not installed")
    ratio = statistics.median(found[MINE]) / statistics.median(found["bare asyncio"])
    print(f"ratio {ratio:.2f}; fails above {arguments.limit}")
    return 0 if ratio <= arguments.limit else 1


def _importing(imports: str) -> str:
    return BARE.format(imports=imports, body=WAIT.strip().replace("\n", "\n    "))


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name.partition(".")[0]) is not None


def _pss_mib(program: str) -> float:
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or process.stdout.readline() != "ready\n":
                raise RuntimeError("the program did not come up")
            text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        finally:
            process.kill()
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    if found is None:
        raise RuntimeError("the kernel tells no PSS")
    return int(found[1]) / 1024


if __name__ == "__main__":
    sys.exit(main())
