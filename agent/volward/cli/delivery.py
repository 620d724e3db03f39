"""How a recovery key reaches its owner: shown and partly typed back, or written to a descriptor of an escrow."""

import os

import click

from volward.errors import ConfirmationError, RecoveryKeyFormatError
from volward.keys import prompt, recovery
from volward.secret import SecretBytes

_TRIES = 3


class TerminalDelivery:
    """Shows the key on the terminal and has two of its groups typed back, so that it was really written down."""

    def hand_over(self, volume: str, recovery_key: SecretBytes) -> None:
        """Raises ConfirmationError when it was not typed back in three tries; then the key is discarded."""
        _show(volume, recovery_key)
        wanted = recovery.choose_groups()
        for _ in range(_TRIES):
            if _typed_back(recovery_key, wanted):
                return
            click.echo("That is not what was shown. Look again.")
        raise ConfirmationError(
            f"The recovery key of {volume} was not typed back, so it was discarded.",
            resolution=f"Run `volward recovery enrol {volume}` for a new one.",
        )


class DescriptorDelivery:
    """Writes the key and a newline to an open file descriptor: an escrow's pipe, never standard output."""

    def __init__(self, descriptor: int) -> None:
        if descriptor in (1, 2):
            raise ConfirmationError(
                "A recovery key is never written to standard output or standard error.",
                resolution="Open another descriptor: `--recovery-fd 3 3> >(your-escrow-command)`.",
            )
        self._descriptor = descriptor

    def hand_over(self, volume: str, recovery_key: SecretBytes) -> None:
        """Raises ConfirmationError when the descriptor cannot be written to."""
        try:
            with recovery_key.view() as text:
                os.write(self._descriptor, volume.encode() + b" ")
                os.write(self._descriptor, text)
                os.write(self._descriptor, b"\n")
        except OSError as error:
            raise ConfirmationError(
                f"The recovery key of {volume} could not be handed over (descriptor {self._descriptor}: {error.strerror}).",
                resolution="It was discarded. Open the descriptor for writing, then run the same command again.",
            ) from error


def _show(volume: str, recovery_key: SecretBytes) -> None:
    click.echo(f"\nThe recovery key of {volume}. Write it down now; it is not shown again and stored nowhere:\n")
    with recovery_key.view() as text:
        click.echo("    " + bytes(text).decode() + "\n")
    click.echo("It opens the volume when every other key is lost. Keep it away from this host.")


def _typed_back(recovery_key: SecretBytes, wanted: tuple[int, ...]) -> bool:
    for group in wanted:
        try:
            with prompt.ask(f"Type group {group} of the key, to show that you have it:", echo=True) as typed:
                if not recovery.check_group(recovery_key, group, typed):
                    return False
        except RecoveryKeyFormatError:
            return False
    return True
