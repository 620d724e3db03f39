"""`python3 -m volward.service`: the daemon, started by volward.service."""

import asyncio

from systemd.daemon import notify

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
    asyncio.run(_main())
