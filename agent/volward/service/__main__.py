"""`python3 -m volward.service`: the daemon, started by volward.service."""

import asyncio
import sys

from systemd.daemon import notify

from volward.errors import VolwardError
from volward.host import run
from volward.service.daemon import Daemon, Outside
from volward.service.watch import keep_alive, watch


async def _main() -> None:
    daemon = Daemon(Outside(notify=notify, say=lambda text: print(text, flush=True)))
    alive = asyncio.create_task(keep_alive(notify))
    try:
        await watch(daemon)
    finally:
        alive.cancel()


if __name__ == "__main__":
    run.forbid_core_dumps()
    try:
        asyncio.run(_main())
    except VolwardError as error:
        print(f"<3>volward: {error}", file=sys.stderr)
        sys.exit(int(error.exit_status))
    except OSError as error:
        sys.exit(f"<3>volward: the host cannot be watched any more: {error}")
