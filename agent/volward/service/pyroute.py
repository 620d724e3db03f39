"""The parts of pyroute2 that the daemon uses, without everything else that its package loads.

``import pyroute2`` loads each of its protocols, databases and servers: 13.6 MB, more than asyncio and Python together.
Its netlink core is 0.6 MB. Python runs a package's __init__ before any of its modules, so the package is entered here
without running it. The daemon's own process alone does that, and nothing in it may want the whole of pyroute2.
"""

import importlib.util
import sys


def enter() -> None:
    """Make the package known, so that its modules are found; its __init__ is not run."""
    if "pyroute2" in sys.modules:
        return
    spec = importlib.util.find_spec("pyroute2")
    if spec is None:
        raise ModuleNotFoundError("No module named 'pyroute2'", name="pyroute2")
    sys.modules["pyroute2"] = importlib.util.module_from_spec(spec)


enter()

from pyroute2.netlink import (  # noqa: E402
    NETLINK_KOBJECT_UEVENT,
    NETLINK_ROUTE,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    nlmsg,
    rtnl,
)
from pyroute2.netlink.exceptions import NetlinkDecodeError  # noqa: E402
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg  # noqa: E402
from pyroute2.netlink.rtnl.rtmsg import rtmsg  # noqa: E402

__all__ = [
    "NETLINK_KOBJECT_UEVENT",
    "NETLINK_ROUTE",
    "NLM_F_DUMP",
    "NLM_F_REQUEST",
    "NetlinkDecodeError",
    "ifaddrmsg",
    "nlmsg",
    "rtmsg",
    "rtnl",
]
