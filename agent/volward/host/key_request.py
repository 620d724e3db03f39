"""Who asks for which key on a connection: systemd-cryptsetup, with a socket for a key file.

The name of its own end tells the mapping: NUL, a random word, "/cryptsetup/", the name in the first column
(crypttab(5), "AF_UNIX KEY FILES"). For a PKCS#11, FIDO2 or TPM2 token it asks with another word, and for a wrapped key.
"""

import re
import socket
import struct
from dataclasses import dataclass

from volward.errors import KeyRequestError

_NAME = re.compile(rb"\0[0-9A-Za-z]+/(cryptsetup[0-9a-z-]*)/([^\0]+)")
_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, uid, gid (unix(7))


@dataclass(frozen=True)
class KeyRequest:
    """One connection's question."""

    mapping: str
    process: int


def read(connection: socket.socket) -> KeyRequest:
    """Return what the other end asks for. Raises KeyRequestError for anybody but root's systemd-cryptsetup."""
    if connection.family != socket.AF_UNIX:
        raise KeyRequestError("The connection is no local one.", resolution=_HOW)
    process, user, _ = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    if user != 0:
        raise KeyRequestError(f"The user {user} asks for a key, and only root gets one.", resolution=_HOW)
    peer = connection.getpeername()
    name = peer if isinstance(peer, bytes) else str(peer).encode()
    found = _NAME.fullmatch(name)
    if found is None:
        raise KeyRequestError("Whoever asks does not say for which mapping.", resolution=_HOW)
    if found[1] != b"cryptsetup":
        raise KeyRequestError(
            f"systemd-cryptsetup asks for a wrapped key ({found[1].decode()}) of {found[2].decode(errors='replace')}.",
            resolution="Leave tpm2-device=, fido2-device= and pkcs11-uri= out of this line of /etc/crypttab.",
        )
    return KeyRequest(found[2].decode(errors="replace"), process)


_HOW = "The socket is for systemd-cryptsetup: `volward export crypttab` prints the lines of /etc/crypttab."
