"""Loop devices of the real kernel, attached to a file as a service with a bind mount in its sandbox attaches it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from volward.host import block, loop

ATTACH = """
mount --bind "$1" "$1"
exec losetup --find --show --nooverlap "$1/image.img"
"""
needs_loops = pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists(),
    reason="needs root and loop devices",
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "image.img"
    path.parent.mkdir()
    path.write_bytes(bytes(1024 * 1024))
    return path


@pytest.fixture
def attached(image: Path) -> Iterator[str]:
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", ATTACH, "sh", str(image.parent)]
    node = subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()
    yield node.rpartition("/")[2]
    subprocess.run(["losetup", "--detach", node], check=True)


@needs_loops
def test_a_file_that_another_namespace_opened_is_the_same_file(image: Path, attached: str, tmp_path: Path) -> None:
    directory = Path("/sys/block") / attached
    shown = (directory / "loop/backing_file").read_text().strip()
    assert shown != str(image) and str(image).endswith(shown), "the kernel shows what is left of the path"
    known = block.loops_by_file()
    assert [one.name for one in loop.on_file(image, known)] == [attached]
    assert block.is_on_file(Path("/dev") / attached, image)
    other = tmp_path / "other" / "images" / "image.img"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"another one of that name")
    assert loop.on_file(other, known) == ()
    assert loop.on_file(tmp_path / "nothing" / "image.img", known) == ()


@pytest.mark.parametrize("node", ["loop7", "gone"])
def test_a_node_that_does_not_say_is_none(tmp_path: Path, node: str) -> None:
    (tmp_path / "loop7").touch()
    file = tmp_path / "srv" / "image.img"
    file.parent.mkdir()
    file.touch()
    assert not loop.is_on("/image.img", Path("/sys/block") / node, file, tmp_path)
    assert loop.is_on(str(file), Path("/sys/block") / node, file, tmp_path)
    assert not loop.is_on("", Path("/sys/block") / node, file, tmp_path)
