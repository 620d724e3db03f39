"""What is kept of a configuration is exactly what it says, or nothing."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
from tests.unit import builders

from volward import compiled, config, stores
from volward.model import Directory, VolumeSpec

CONFIGURATION = """
[volumes.pgdata]
device = "/dev/disk/by-id/virtio-PG1"
store = "postgres"
mount_point = "/srv/volward/pgdata"
keys = ["tpm2", "credential"]

[volumes.image]
device = "file:/var/lib/volward/images/image.img"
size = "1 GiB"
store = { kind = "directory", owner = "redis" }
mount_point = "/srv/volward/image"

[volumes.swap]
device = "/dev/disk/by-id/virtio-SWAP"
store = "scratch"
file_system = "swap"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    directory = tmp_path / "etc"
    directory.mkdir()
    (directory / "volward.toml").write_text(CONFIGURATION)
    return directory


def keep(root: Path, file: Path) -> dict[str, VolumeSpec]:
    specs = stores.specs(config.load(root))
    compiled.write(compiled.digest(root), specs, file=file)
    return specs


def test_what_is_read_is_what_was_loaded(root: Path, tmp_path: Path) -> None:
    specs = keep(root, tmp_path / "kept/compiled.json")
    found = compiled.read(root, file=tmp_path / "kept/compiled.json")
    assert found == specs
    assert found is not None
    assert list(found) == ["pgdata", "image", "swap"]
    assert (tmp_path / "kept/compiled.json").stat().st_mode & 0o777 == 0o600


def test_every_field_of_a_volume_survives(root: Path, tmp_path: Path) -> None:
    spec = dataclasses.replace(
        builders.SPEC, directories=(Directory("data", "999", "redis", 0o700),), tpm2_pcrs=(7, 14), on_denied_stop=True
    )
    compiled.write(compiled.digest(root), {"pgdata": spec}, file=tmp_path / "compiled.json")
    assert compiled.read(root, file=tmp_path / "compiled.json") == {"pgdata": spec}


def test_a_changed_added_or_removed_file_makes_it_useless(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "compiled.json"
    keep(root, file)
    (root / "volward.d").mkdir()
    assert compiled.read(root, file=file)
    (root / "volward.d/more.toml").write_text("")
    assert compiled.read(root, file=file) is None
    (root / "volward.d/more.toml").unlink()
    assert compiled.read(root, file=file)
    (root / "volward.toml").write_text(CONFIGURATION.replace("1 GiB", "2 GiB"))
    assert compiled.read(root, file=file) is None
    (root / "volward.toml").unlink()
    assert compiled.read(root, file=file) is None


def test_another_directory_with_the_same_files_is_another_configuration(root: Path, tmp_path: Path) -> None:
    keep(root, tmp_path / "compiled.json")
    root.rename(tmp_path / "elsewhere")
    assert compiled.read(tmp_path / "elsewhere", file=tmp_path / "compiled.json") is None


def test_what_others_may_write_is_not_believed(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "compiled.json"
    keep(root, file)
    file.chmod(0o620)
    assert compiled.read(root, file=file) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_belongs_to_somebody_else_is_not_believed(root: Path, tmp_path: Path) -> None:
    keep(root, tmp_path / "compiled.json")
    os.chown(tmp_path / "compiled.json", 1000, 1000)
    assert compiled.read(root, file=tmp_path / "compiled.json") is None


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", 1), ("providers", ["carrier-pigeon"]), ("discard", "yes"), ("cipher", None), ("novelty", 1)],
)
def test_a_value_of_the_wrong_kind_makes_it_useless(root: Path, tmp_path: Path, field: str, value: object) -> None:
    file = tmp_path / "compiled.json"
    keep(root, file)
    content = json.loads(file.read_text())
    content["volumes"]["pgdata"][field] = value
    file.write_text(json.dumps(content))
    file.chmod(0o600)
    assert compiled.read(root, file=file) is None


def test_where_nothing_can_be_written_nothing_is_kept(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    compiled.write(compiled.digest(root), {}, file=tmp_path / "file/compiled.json")
    assert compiled.read(root, file=tmp_path / "file/compiled.json") is None
