"""Who is told of the steps of an operation, and says when to stop."""

import time

from volward.errors import InterruptedRunError
from volward.model import Action, Progress


class Watcher:
    """Told of each step; the command line draws progress from it. This one is silent and never stops."""

    def step(self, volume: str, action: Action) -> None:
        """An action begins."""

    def step_done(self, volume: str, action: Action) -> None:
        """An action has ended well."""

    def step_failed(self, volume: str, action: Action) -> None:
        """An action has ended with an error."""

    def progress(self, volume: str, so_far: Progress) -> None:
        """A long step has come so far."""

    def interrupted(self) -> bool:
        """Say whether the person asked to stop; then no further action is begun."""
        return False

    def sleep(self, seconds: float) -> None:
        """Pause before a provider is asked again. May raise InterruptedRunError, which ends the wait."""
        time.sleep(seconds)

    def refuse_when_interrupted(self, before: str) -> None:
        """Raise InterruptedRunError when the person asked to stop; ``before`` names what is not begun."""
        if self.interrupted():
            raise InterruptedRunError(
                f"Interrupted before this: {before}.", resolution="Run the same command again; it goes on from there."
            )
