"""Swap on an open mapping (swapon(8), swapoff(8))."""

from pathlib import Path

from volward.host import run


def on(node: Path) -> None:
    """Use ``node`` as swap. Raises ToolFailedError."""
    run.mutate(["swapon", node])


def off(node: Path) -> None:
    """Stop using ``node`` as swap; its pages move back to memory, which may take a while. Raises ToolFailedError."""
    run.mutate(["swapoff", node])
