"""header verify: a backup opened, restored into a scratch file, and opened there by a key. Changes nothing."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from volward import durable, lock
from volward.errors import KeyExistsError, KeyRejectedError
from volward.header_backup import recipients, scratch, sealing
from volward.header_backup.facts import Facts
from volward.header_backup.scratch import Scratch
from volward.keys.providers import Providers
from volward.model import ProviderKind, VolumeSpec
from volward.os_errors import explained
from volward.secret import SecretBytes


@dataclass(frozen=True)
class Verified:
    """Who opened the backup, and which keyslot of its header a key opens."""

    facts: Facts
    opened_by: str
    keyslot: int


def verify(
    spec: VolumeSpec, path: Path, *, ask_recovery: bool, deadline_seconds: float, output: Path | None = None
) -> Verified:
    """Prove a backup: by the key providers, or by the recovery key alone, which is asked for.

    With ``output`` the header area is then written to that new file, for stock cryptsetup. Raises NoOpenerError,
    HeaderBackupError, KeyRejectedError; KeyExistsError when the file exists.
    """
    with ExitStack() as stack:
        stack.enter_context(explained(f"Verifying {path}"))
        stack.enter_context(lock.held(spec.name))
        providers = stack.enter_context(Providers())
        sealed = sealing.read(path)
        typed = stack.enter_context(typed_key(spec, providers)) if ask_recovery else None
        area, opener = recipients.unsealed(sealed, spec, providers, typed, deadline_seconds=deadline_seconds)
        one = stack.enter_context(scratch.restored(sealed.name, area))
        _, keyslot = fitting_key(stack, one, spec, providers, typed, deadline_seconds=deadline_seconds)
        if output is not None:
            _write(output, area)
        return Verified(sealed.facts, str(opener.ref), keyslot)


def _write(output: Path, area: bytes) -> None:
    try:
        durable.create(output.absolute(), area)
    except FileExistsError as error:
        raise KeyExistsError(f"{output} exists already.", resolution="Choose a new file name.") from error


def typed_key(spec: VolumeSpec, providers: Providers) -> SecretBytes:
    """Ask for the recovery key. Raises NoTerminalError, RecoveryKeyFormatError."""
    source = providers.source(ProviderKind.RECOVERY, spec)
    return source.read(source.first_ref(spec.name), deadline_seconds=0.0)


def fitting_key(
    stack: ExitStack,
    one: Scratch,
    spec: VolumeSpec,
    providers: Providers,
    typed: SecretBytes | None,
    *,
    deadline_seconds: float,
) -> tuple[SecretBytes, int]:
    """Return a key that opens a keyslot of a restored header, and that keyslot; ``stack`` wipes it.

    It is the typed recovery key, or comes from the volume's providers as that header names it. Raises
    KeyRejectedError.
    """
    said: list[str] = []
    if typed is not None:
        for slot in one.header.keyslots:
            if slot.opens_data and one.opens(typed, slot.number):
                return typed, slot.number
        said.append("the recovery key opens none of its keyslots")
    else:
        for name, key, keyslots in recipients.unlocking_keys(
            one.header, spec, providers, deadline_seconds=deadline_seconds, ask=True, said=said
        ):
            for number in keyslots:
                if one.opens(key, number):
                    with key.view() as view:
                        return stack.enter_context(SecretBytes(view)), number
            said.append(f"{name} opens none of its keyslots")
    raise KeyRejectedError(
        f"No key at hand opens the header in the backup: {'; '.join(said) or 'it names none of a provider'}.",
        resolution="Nothing was written. Try the recovery key (`--recovery`), or another backup.",
    )
