"""Any directory: exports, logs, SQLite files; the mount itself or one directory inside it. Pure."""

from pathlib import Path

from volward.config.store import DirectoryStore
from volward.model import Directory
from volward.stores.profile import FILES, ROOT_OF_MOUNT, Profile


def profile(store: DirectoryStore, mount_point: Path) -> Profile:
    """Return what a plain directory wants; directories on the way to a deeper one are root's, mode 0755."""
    wanted = Directory(store.path, store.owner, store.group, store.mode)
    if store.path == ".":
        return Profile((wanted,), FILES, (), (f"The directory is {mount_point}.",))
    steps = store.path.split("/")
    on_the_way = tuple(Directory("/".join(steps[:count]), "root", "root", 0o755) for count in range(1, len(steps)))
    return Profile((ROOT_OF_MOUNT, *on_the_way, wanted), FILES, (), (f"The directory is {mount_point / store.path}.",))
