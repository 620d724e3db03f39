"""Swap is switched on and off on the mapping itself."""

from pathlib import Path

from tests.unit.host.recording import Recording

from volward.host import swap

NODE = Path("/dev/mapper/volward-swap")


def test_on_and_off(recording: Recording) -> None:
    swap.on(NODE)
    swap.off(NODE)
    assert recording.calls == [["swapon", str(NODE)], ["swapoff", str(NODE)]]
