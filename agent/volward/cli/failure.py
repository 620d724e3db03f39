"""How an error of a command or of one volume is told: what happened, what to do, where to read on."""

from volward.errors import VolwardError


def text(error: VolwardError, *, about: str = "volward") -> str:
    """Return the error as it is printed; ``about`` is the program, or the volume that it is about."""
    resolution = "\n".join(f"  {line}" for line in error.resolution.splitlines())
    return f"{about}: {error.what}\n{resolution}\n  ({error.code}, `volward explain {error.code}`)"
