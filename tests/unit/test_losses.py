"""What is remembered of a volume whose device went away."""

from pathlib import Path

import pytest

from volward import losses
from volward.losses import Loss

HERE = Loss(losses.this_boot(), 17)


def test_it_is_remembered_and_forgotten(tmp_path: Path) -> None:
    assert losses.read("data", directory=tmp_path) is None
    losses.write("data", HERE, directory=tmp_path)
    losses.add_container("data", "app", directory=tmp_path)
    losses.add_container("data", "app", directory=tmp_path)
    found = losses.read("data", directory=tmp_path)
    assert found == Loss(HERE.boot, 17, ("app",))
    assert found.is_of_this_boot
    assert not Loss("another", 17).is_of_this_boot
    losses.forget("data", directory=tmp_path)
    losses.forget("data", directory=tmp_path)
    assert losses.read("data", directory=tmp_path) is None


def test_without_a_loss_no_container_is_noted(tmp_path: Path) -> None:
    losses.add_container("data", "app", directory=tmp_path)
    assert losses.read("data", directory=tmp_path) is None


@pytest.mark.parametrize(
    "text", ["", "[]", '{"boot": "x", "usec": "y", "containers": []}', '{"boot": "x", "usec": 1, "containers": 7}']
)
def test_a_record_of_no_use_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.json").write_text(text)
    assert losses.read("data", directory=tmp_path) is None
