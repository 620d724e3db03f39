"""One answer to systemd-cryptsetup: the unlocking key of the volume that it opens. Changes nothing.

There is no lock: systemd opens the volume, and another volward may be waiting to mount it.
"""

import contextlib
import socket
from collections.abc import Iterable

from volward import audit
from volward.apply import Work
from volward.apply.opening import existing_key
from volward.errors import KeyRequestError, UnknownVolumeError, VolwardError
from volward.host import key_request
from volward.keys.providers import Providers
from volward.model import VolumeSpec
from volward.observe import observe
from volward.os_errors import explained
from volward.plan.device import present_device


def serve(connection: socket.socket, specs: Iterable[VolumeSpec], *, deadline_seconds: float) -> str:
    """Write the key to the connection, proven to open its keyslot, and return the volume's name.

    Whoever asks gets nothing when there is no key: then systemd asks a person. Raises KeyRequestError,
    UnknownVolumeError, NoOpenerError, KeyDeniedError, DamagedHeaderError.
    """
    request = key_request.read(connection)
    spec = next((one for one in specs if one.mapping_name == request.mapping), None)
    if spec is None:
        raise UnknownVolumeError(
            f"systemd-cryptsetup asks for the key of {request.mapping}, which is no volume's mapping.",
            resolution="`volward export crypttab` prints the lines of /etc/crypttab.",
        )
    with explained(f"Giving the key of {spec.name} to systemd-cryptsetup"):
        try:
            provider = _send(connection, spec, deadline_seconds)
        except VolwardError as error:
            audit.record("key-serve", spec.name, audit.Outcome.FAILED, f"{spec.name}: {error}", code=error.code)
            raise
    to = f"systemd-cryptsetup (process {request.process})"
    audit.record("key-serve", spec.name, audit.Outcome.DONE, f"{spec.name}: the key of {provider} went to {to}")
    return spec.name


def _send(connection: socket.socket, spec: VolumeSpec, deadline_seconds: float) -> str:
    seen = observe(spec, to_open=True)
    node = present_device(spec, seen).node
    with Providers() as providers, Work.on(spec, seen, providers) as work:
        work.deadline_seconds = deadline_seconds
        held, _ = existing_key(node, work)
        with held.key.view() as view:
            try:
                connection.sendall(view)
            except OSError as error:
                raise KeyRequestError(
                    f"systemd-cryptsetup did not take the key of {spec.name}: {error.strerror}.",
                    resolution="It may have been stopped meanwhile; start its unit again.",
                ) from error
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        return str(held.ref.provider)
