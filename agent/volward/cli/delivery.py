"""How a recovery key reaches its owner: shown and partly typed back, to a descriptor of an escrow, or into Vault."""

import fcntl
import os
import select
import stat
from typing import TYPE_CHECKING

import click

from volward.errors import ConfirmationError, KeyDeniedError, RecoveryKeyFormatError
from volward.keys import prompt, recovery
from volward.secret import SecretBytes

if TYPE_CHECKING:
    from volward.keys.vault.escrow import Escrow

_TRIES = 3
_STANDARD = (0, 1, 2)


class TerminalDelivery:
    """Shows the key on the terminal and has two of its groups typed back, so that it was really written down."""

    def hand_over(self, volume: str, recovery_key: SecretBytes) -> None:
        """Raises ConfirmationError when it was not typed back in three tries; then the key is discarded."""
        prompt.show(
            f"\nThe recovery key of {volume}. Write it down now; it is not shown again and stored nowhere:\n\n    ",
            recovery_key,
            "\n\nIt opens the volume when every other key is lost. Keep it away from this host.\n",
        )
        wanted = recovery.choose_groups()
        for left in reversed(range(_TRIES)):
            if _typed_back(recovery_key, wanted):
                return
            click.echo("That is not what was shown." + (" Look again." if left else ""))
        raise ConfirmationError(
            f"The recovery key of {volume} was not typed back, so it was discarded; it opens nothing.",
            resolution="Run the same command again for a new one, with something to write at hand.",
        )


class DescriptorDelivery:
    """Writes one line, ``VOLUME KEY``, to an open file descriptor: an escrow's pipe, never a standard stream."""

    def __init__(self, descriptor: int) -> None:
        """Raises ConfirmationError unless the descriptor can be written to: before anything is changed."""
        self._descriptor = descriptor
        if problem := writing_problem(descriptor):
            raise ConfirmationError(
                f"Descriptor {descriptor} cannot take a recovery key: {problem}.",
                resolution="Nothing was changed. Open one for writing: `--recovery-fd 3 3> >(your-escrow-command)`.",
            )

    def hand_over(self, volume: str, recovery_key: SecretBytes) -> None:
        """Raises ConfirmationError when the line cannot be written whole."""
        try:
            with recovery_key.view() as text:
                line = (volume.encode() + b" ", text, b"\n")
                # One call: a pipe takes so short a line whole or not at all (pipe(7), PIPE_BUF).
                whole = os.writev(self._descriptor, line) == sum(map(len, line))
            if whole and stat.S_ISREG(os.fstat(self._descriptor).st_mode):
                os.fsync(self._descriptor)
            problem = "" if whole else "it took a part of the line only"
        except OSError as error:
            problem = error.strerror or str(error)
        if problem:
            raise ConfirmationError(
                f"The recovery key of {volume} could not be handed over (descriptor {self._descriptor}: {problem}).",
                resolution="It was discarded. See to the escrow, then run the same command again for a new one.",
            )


class VaultDelivery:
    """Puts the key into Vault and says where it is."""

    def __init__(self, escrow: "Escrow") -> None:
        self._escrow = escrow

    def hand_over(self, volume: str, recovery_key: SecretBytes) -> None:
        """Raises what Escrow.put raises; then the key is discarded."""
        where = self._escrow.put(volume, recovery_key)
        # Not to standard output, which may be JSON.
        click.echo(f"{volume}: its recovery key is in Vault, at {where}; this host cannot read it there.", err=True)


def writing_problem(descriptor: int) -> str:
    """Say why a secret must not or cannot be written to a descriptor; "" when it can."""
    if descriptor in _STANDARD:
        return "a secret is never written to a standard stream"
    try:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            return "it is open for reading only"
    except (OSError, OverflowError, ValueError):
        return "it is not open"
    if os.isatty(descriptor):
        return "it is a terminal"
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    if any(events & (select.POLLERR | select.POLLNVAL) for _, events in poll.poll(0)):
        return "nobody reads from it"
    return ""


def _typed_back(recovery_key: SecretBytes, wanted: tuple[int, ...]) -> bool:
    for group in wanted:
        try:
            with prompt.ask(f"Type group {group} of the key, to show that you have it:", echo=True) as typed:
                if not recovery.check_group(recovery_key, group, typed):
                    return False
        except (RecoveryKeyFormatError, KeyDeniedError):  # not five characters, or nothing at all
            return False
    return True
