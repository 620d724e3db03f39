"""Users and groups of this host (getpwnam(3), getgrnam(3)); a container's are given as numbers."""

import grp
import pwd

from volward.errors import ToolMissingError
from volward.model import Directory


def ids(wanted: Directory) -> tuple[int, int]:
    """Return the user and group numbers of a directory's owner. Raises ToolMissingError for unknown names."""
    try:
        user = int(wanted.owner) if wanted.owner.isdecimal() else pwd.getpwnam(wanted.owner).pw_uid
        group = int(wanted.group) if wanted.group.isdecimal() else grp.getgrnam(wanted.group).gr_gid
    except KeyError as error:
        raise ToolMissingError(
            f"{wanted.path} is to belong to {wanted.owner}:{wanted.group}, which this host does not know.",
            resolution="Install the service's package first, or give the owner as a number.",
        ) from error
    return user, group
