"""One table drives the refusals: what is written, where the problem is reported, and what the person reads."""

from collections.abc import Callable
from pathlib import Path

import pytest

from volward import stores
from volward.config import examine, load
from volward.config.problem import Problem
from volward.config.relations import Claim, conflicts
from volward.config.values import BackingDevice
from volward.errors import ConfigurationError
from volward.model import FileSystem, ProviderKind

Write = Callable[..., Path]

GOOD = """
[volumes.pgdata]
device = "/dev/disk/by-id/virtio-PG1"
store = "postgres"
mount_point = "/srv/volward/pgdata"
"""
FILE = """
[volumes.data]
device = "file:/var/lib/volward/images/data.img"
size = "1 GiB"
store = "directory"
mount_point = "/srv/volward/data"
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write volward.toml and, by keyword, volward.d/NAME.toml; return the configuration directory."""

    def _write(main: str | None, **drop_ins: str) -> Path:
        if main is not None:
            (tmp_path / "volward.toml").write_text(main)
        (tmp_path / "volward.d").mkdir(exist_ok=True)
        for name, text in drop_ins.items():
            (tmp_path / "volward.d" / f"{name}.toml").write_text(text)
        return tmp_path

    return _write


def problems(root: Path) -> tuple[Problem, ...]:
    examination = examine(root)
    assert examination.configuration is None
    return examination.problems


def in_file(line: str) -> str:
    """Return the good file volume with one more line, which replaces the line of the same setting."""
    setting = line.partition("=")[0].strip()
    dropped = {setting, "size"} if setting == "device" and "file:" not in line else {setting}
    kept = [old for old in FILE.splitlines() if old.partition("=")[0].strip() not in dropped]
    return "\n".join([*kept, line])


def test_a_small_configuration_is_filled_with_defaults(write: Write) -> None:
    volume = load(write(GOOD)).volumes["pgdata"]
    assert volume.keys == (ProviderKind.CREDENTIAL,)
    assert volume.file_system is FileSystem.EXT4
    assert volume.cipher.key_bits == 512
    assert str(volume.device) == "/dev/disk/by-id/virtio-PG1"


def test_drop_ins_are_read_in_the_order_of_their_names(write: Write) -> None:
    root = write(GOOD, b=FILE, a=FILE.replace("data", "other"))
    assert list(load(root).volumes) == ["pgdata", "other", "data"]


def test_drop_ins_alone_are_enough(write: Write) -> None:
    assert list(load(write(None, only=FILE)).volumes) == ["data"]


def test_defaults_reach_volumes_and_volumes_win(write: Write) -> None:
    root = write(
        '[defaults]\nkeys = ["tpm2", "prompt"]\ndiscard = true\n[defaults.recovery]\nlanes = 2\niterations = 9\n'
        + GOOD
        + "discard = false\n[volumes.pgdata.recovery]\niterations = 5\n"
    )
    volume = load(root).volumes["pgdata"]
    assert volume.keys == (ProviderKind.TPM2, ProviderKind.PROMPT)
    assert not volume.discard
    assert (volume.recovery.lanes, volume.recovery.iterations) == (2, 5)


def test_keys_in_defaults_do_not_reach_scratch(write: Write) -> None:
    root = write('[defaults]\nkeys = ["tpm2", "credential"]\n' + in_file('store = "scratch"'))
    assert load(root).volumes["data"].store.kind == "scratch"


REFUSED = [
    # the line, the dotted path, a part of the sentence, a part of the suggestion
    ('devcie = "/dev/x"', "volumes.data.devcie", "not a setting", "`device`"),
    ("pcrs = [7]", "volumes.data.pcrs", "not a setting of this table", "[volumes.NAME.tpm2]"),
    ('version = "17"', "volumes.data.version", "not a setting of this table", 'kind = "postgres"'),
    ("zzz = 1", "volumes.data.zzz", "not a setting", "Known here"),
    ('store = "postgress"', "volumes.data.store", "not one of", '"postgres"'),
    ('store = { kind = "redis", layot = "debian" }', "volumes.data.store.layot", "not a setting", "`layout`"),
    ('store = { layout = "debian" }', "volumes.data.store", "not one of", ""),
    ("store = 3", "volumes.data.store", "must be a table", "postgres"),
    ('store = { kind = "directory", mode = "0777" }', "volumes.data.store.mode", "everybody", "1777"),
    ("store = { kind = 'directory', mode = 750 }", "volumes.data.store.mode", "in quotes", '"0750"'),
    ('store = { kind = "directory", path = "../up" }', "volumes.data.store.path", "../up", "inside the mount"),
    ('store = { kind = "redis", owner = "a b" }', "volumes.data.store.owner", "a b", "number"),
    ('keys = ["tmp2"]', "volumes.data.keys[0]", "not one of", '"tpm2"'),
    ('keys = ["tpm2"]', "volumes.data.keys", "TPM alone", '"credential"'),
    ('keys = ["recovery"]', "volumes.data.keys", "recovery key anyway", "Leave it out"),
    ('keys = ["credential", "credential"]', "volumes.data.keys", "twice", "once"),
    ("keys = []", "volumes.data.keys", "is empty", ""),
    ('keys = "credential"', "volumes.data.keys", "must be a list", '["'),
    ("discard = 1", "volumes.data.discard", "true or false", ""),
    ('on_denied = "stp"', "volumes.data.on_denied", "not one of continue and stop", '"stop"'),
    ('file_system = "ext3"', "volumes.data.file_system", "not one of", '"ext4"'),
    ('file_system = "swap"', "volumes.data.file_system", "only a scratch volume", "scratch"),
    ("size = 1024", "volumes.data.size", "with its unit", "GiB"),
    ('size = "5 GB"', "volumes.data.size", "GB", '"5 GiB"'),
    ('size = "63 MiB"', "volumes.data.size", "too small for ext4", "64 MiB"),
    ('size = "1.3 KiB"', "volumes.data.size", "1.3 KiB", "4 KiB"),
    ('size = "99999 TiB"', "volumes.data.size", "99999", "8 PiB"),
    ('mount_point = "srv/x"', "volumes.data.mount_point", "not an absolute path", '"/srv/x"'),
    ('mount_point = "/srv//x/"', "volumes.data.mount_point", "shorter", '"/srv/x"'),
    ('mount_point = "/srv/../x"', "volumes.data.mount_point", "..", "without"),
    ('mount_point = "/srv/a b"', "volumes.data.mount_point", "a b", "letters"),
    ('mount_point = "/var/lib"', "volumes.data.mount_point", "operating system", "/srv/volward/lib"),
    ('mount_point = "/"', "volumes.data.mount_point", "operating system", "/srv/volward/data"),
    ('mount_point = "/usr/local/pg"', "volumes.data.mount_point", "below /usr", "/srv/volward/pg"),
    (f'mount_point = "/srv/{"-" * 90}"', "volumes.data.mount_point", "too long", "shorter"),
    ('mount_options = ["_netdev"]', "volumes.data.mount_options[0]", "_netdev", "network wait"),
    ('mount_options = ["x-systemd.automount"]', "volumes.data.mount_options[0]", "/etc/fstab only", "Leave"),
    ('mount_options = ["noatime,nodev"]', "volumes.data.mount_options[0]", "noatime,nodev", "of its own"),
    ('mount_options = ["discard"]', "volumes.data.mount_options[0]", "discard", "discard = true"),
    ('mount_options = ["sync", "sync"]', "volumes.data.mount_options", "twice", ""),
    ('consumers = ["postgresql"]', "volumes.data.consumers[0]", "neither", "postgresql.service"),
    ('consumers = ["docker:db"]', "volumes.data.consumers[0]", "docker:db", '"container:db"'),
    ('consumers = ["postgresql@.service"]', "volumes.data.consumers[0]", "template", "postgresql@NAME"),
    ('consumers = ["volward.service"]', "volumes.data.consumers[0]", "part of volward", "service that uses"),
    ('consumers = ["container:db"]', "volumes.data.consumers", "directory inside the mount", "path ="),
    ('device = "/dev/sdb"', "volumes.data.device", "after the next boot", "/dev/disk/by-id"),
    ('device = "/dev/nvme0n1p2"', "volumes.data.device", "after the next boot", "/dev/disk/by-id"),
    ('device = "/dev/dm-0"', "volumes.data.device", "after the next boot", ""),
    ('device = "/dev/disk/by-uuid/1"', "volumes.data.device", "what is on the disk", "by-id"),
    ('device = "/dev/mapper/volward-x"', "volumes.data.device", "volward itself", "below it"),
    ('device = "/var/x.img"', "volumes.data.device", "not below /dev", '"file:/var/x.img"'),
    ('device = "PG1"', "volumes.data.device", "neither", "file:/path"),
    ('device = "file:/tmp/x.img"', "volumes.data.device", "reboot", "/var/lib/volward/images/x.img"),
    (
        'device = "/dev/disk/by-id/virtio-1"\nsize = "1 GiB"',
        "volumes.data.size",
        "`file:` volumes only",
        "Leave it out",
    ),
    ("cipher = { cipher = 'aes' }", "volumes.data.cipher.cipher", "not one of", "aes-xts-plain64"),
    ("rotation = { max_age = 90 }", "volumes.data.rotation.max_age", "with its unit", '"90 days"'),
    ('rotation = { max_age = "90" }', "volumes.data.rotation.max_age", "no unit", '"90 days"'),
    ('rotation = { grace = "90 d" }', "volumes.data.rotation.grace", '"d"', '"90 days"'),
    ('rotation = { grace = "soon" }', "volumes.data.rotation.grace", "not a duration", '"90 days"'),
    ('rotation = { grace = "0 days" }', "volumes.data.rotation.grace", "0 days", "an hour"),
    ('max_age = "90 days"', "volumes.data.max_age", "not a setting of this table", "volumes.NAME.rotation"),
    ("cipher = { sector_size = 1024 }", "volumes.data.cipher.sector_size", "not one of", ""),
    ("cipher = { cipher = 'xchacha12,aes-adiantum-plain64' }", "volumes.data.cipher.key_bits", "256", "256"),
    ("tpm2 = { pcrs = [24] }", "volumes.data.tpm2.pcrs[0]", "at most 23", ""),
    ("recovery = { iterations = 3 }", "volumes.data.recovery.iterations", "at least 4", ""),
    ('recovery = { memory = "1 MiB" }', "volumes.data.recovery.memory", "1 MiB", "64 MiB"),
    ("credential = { seal = 'tpm' }", "volumes.data.credential.seal", "not one of", '"tpm2"'),
]


@pytest.mark.parametrize(("line", "path", "what", "suggestion"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(write: Write, line: str, path: str, what: str, suggestion: str) -> None:
    found = problems(write(in_file(line)))
    assert [one.path for one in found] == [path]
    assert what in found[0].what
    assert suggestion in found[0].suggestion
    assert found[0].file.name == "volward.toml"


@pytest.mark.parametrize("missing", ["device", "store", "mount_point", "size"])
def test_a_missing_setting_is_named_with_an_example(write: Write, missing: str) -> None:
    text = "\n".join(line for line in FILE.splitlines() if not line.startswith(missing))
    (problem,) = problems(write(text))
    assert problem.path == f"volumes.data.{missing}"
    assert "missing" in problem.what
    assert missing in problem.suggestion


@pytest.mark.parametrize("setting", ["keys = ['credential']", "tpm2 = { pcrs = [7] }", "on_denied = 'stop'"])
def test_a_scratch_volume_takes_no_keys(write: Write, setting: str) -> None:
    (problem,) = problems(write(in_file('store = "scratch"') + "\n" + setting))
    assert "scratch" in problem.what


def test_scratch_swap_has_no_mount_point(write: Write) -> None:
    text = in_file('store = "scratch"') + '\nfile_system = "swap"\n'
    assert "not mounted" in problems(write(text))[0].what
    swap = "\n".join(line for line in text.splitlines() if not line.startswith("mount_point"))
    assert load(write(swap)).volumes["data"].mount_point is None


def test_the_units_of_another_cluster_are_noticed(write: Write) -> None:
    (problem,) = problems(write(GOOD + 'consumers = ["postgresql@15-main.service"]\n'))
    assert problem.path == "volumes.pgdata.consumers"
    assert 'version = "15"' in problem.suggestion


@pytest.mark.parametrize("name", ["Data", "1data", "a_b", "ä", "a" * 49])
def test_bad_names_come_with_a_good_one(write: Write, name: str) -> None:
    (problem,) = problems(write(FILE.replace("volumes.data", f'volumes."{name}"')))
    assert "not a name" in problem.what
    assert "For example [volumes." in problem.suggestion


def test_everything_is_reported_at_once(write: Write) -> None:
    """Broken syntax in one file, an unknown table, two bad volumes, and a conflict between those two."""
    root = write(
        GOOD + 'size = "5 GB"\nconsumers = [3]\n[volume.x]\nstore = "redis"\n',
        b="[volumes.pg\n",
        c=GOOD.replace("pgdata]", "other]").replace("postgres", "redis").replace("store", "stroe"),
    )
    found = {(one.file.name, one.path) for one in problems(root)}
    assert found == {
        ("volward.toml", "volumes.pgdata.size"),
        ("volward.toml", "volumes.pgdata.consumers[0]"),
        ("volward.toml", "volume"),
        ("b.toml", "line 1, column 12"),
        ("c.toml", "volumes.other.store"),
        ("c.toml", "volumes.other.stroe"),
        ("c.toml", "volumes.other.device"),
        ("c.toml", "volumes.other.mount_point"),
    }


def test_a_volume_defined_twice_names_both_files(write: Write) -> None:
    root = write(GOOD, again=GOOD)
    (problem,) = problems(root)
    assert problem.file.name == "again.toml"
    assert str(root / "volward.toml") in problem.what


def test_a_problem_in_the_defaults_is_reported_once_and_there(write: Write) -> None:
    root = write(GOOD + FILE, zz='[defaults]\ndiscard = "yes"\n')
    (problem,) = problems(root)
    assert (problem.file.name, problem.path) == ("zz.toml", "defaults.discard")


def test_a_rule_broken_by_a_default_points_to_the_default(write: Write) -> None:
    (problem,) = problems(write(GOOD, zz='[defaults]\nkeys = ["tpm2"]\n'))
    assert (problem.file.name, problem.path) == ("zz.toml", "volumes.pgdata.keys")


@pytest.mark.parametrize(
    ("second", "path", "what"),
    [
        (("virtio-PG1", "/srv/b"), "volumes.other.device", "volume pgdata has already"),
        (("virtio-PG2", "/srv/volward/pgdata"), "volumes.other.mount_point", "volume pgdata has already"),
        (("virtio-PG2", "/srv/volward/pgdata/deep/er"), "volumes.other.mount_point", "inside the mount point"),
        (("virtio-PG2", "/srv/volward"), "volumes.pgdata.mount_point", "inside the mount point"),
    ],
)
def test_two_volumes_that_cannot_both_be(write: Write, second: tuple[str, str], path: str, what: str) -> None:
    device, mount_point = second
    other = GOOD.replace("[volumes.pgdata]", "[volumes.other]").replace("postgres", "redis")
    other = other.replace("/srv/volward/pgdata", mount_point).replace("virtio-PG1", device)
    (problem,) = problems(write(GOOD, other=other))
    assert problem.path == path
    assert what in problem.what


def test_two_links_to_one_device(tmp_path: Path) -> None:
    (tmp_path / "disk").touch()
    for name in ("link-a", "link-b"):
        (tmp_path / name).symlink_to("disk")
    claims = [Claim(name, BackingDevice(tmp_path / name, is_file=False), None) for name in ("link-a", "link-b")]
    ((volume, setting, what, _),) = conflicts(claims)
    assert (volume, setting) == ("link-b", "device")
    assert f"leads to {tmp_path / 'disk'}" in what


def test_a_file_on_another_volume(write: Write) -> None:
    text = GOOD + FILE.replace("/var/lib/volward/images", "/srv/volward/pgdata")
    (problem,) = problems(write(text))
    assert "is a file on volume pgdata" in problem.what


def test_no_configuration_points_to_init(write: Write) -> None:
    (problem,) = problems(write(None))
    assert "volward init" in problem.suggestion


def test_a_file_that_is_not_utf_8(write: Write) -> None:
    root = write(GOOD)
    (root / "volward.toml").write_bytes(GOOD.encode() + b"# caf\xe9\n")
    (problem,) = problems(root)
    assert problem.path == "line 6"
    assert "UTF-8" in problem.what


def test_a_byte_order_mark_is_no_problem(write: Write) -> None:
    root = write(GOOD)
    (root / "volward.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load(root).volumes


@pytest.mark.parametrize("text", ["volumes = 3\n", "[volumes]\npgdata = 3\n", "defaults = []\n[volumes]\n"])
def test_not_even_tables(write: Write, text: str) -> None:
    (problem,) = problems(write(text))
    assert "must be a table" in problem.what


def test_the_error_lists_every_problem(write: Write) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(write(in_file('size = "1"') + "\nzzz = 1\n"))
    text = str(caught.value)
    assert "2 problems" in text
    assert "volumes.data.size" in text
    assert "volumes.data.zzz" in text
    assert "volward check" in caught.value.resolution


def test_unstable_names_come_with_the_links_of_today(write: Write, tmp_path: Path) -> None:
    dev = tmp_path / "dev"
    (dev / "disk/by-id").mkdir(parents=True)
    (dev / "sdb").touch()
    for name in ("wwn-0x1", "scsi-0QEMU_PG1"):
        (dev / "disk/by-id" / name).symlink_to("../../sdb")
    root = write(GOOD.replace("/dev/disk/by-id/virtio-PG1", "/dev/sdb"))
    (problem,) = examine(root, dev=dev).problems
    assert problem.suggestion.index("scsi-0QEMU_PG1") < problem.suggestion.index("wwn-0x1")


WARNED = [
    ('tpm2 = { pcrs = [0, 7] }\nkeys = ["tpm2", "credential"]', "PCR 7"),
    ('keys = ["prompt"]', "somebody types"),
    ('consumers = ["docker.service"]', "container:NAME"),
    ('device = "/dev/disk/by-path/pci-1"', "is not there now"),
]


@pytest.mark.parametrize(("lines", "warning"), WARNED)
def test_warnings(write: Write, lines: str, warning: str) -> None:
    text = in_file(lines)
    examination = examine(write(text))
    assert examination.configuration is not None
    assert any(warning in one for one in examination.warnings)


def test_the_configuration_is_frozen(write: Write) -> None:
    volume = load(write(GOOD)).volumes["pgdata"]
    with pytest.raises(ValueError, match="frozen"):
        volume.discard = True  # type: ignore[misc]


# --- header backups --------------------------------------------------------------------------------------


def test_where_header_backups_are_kept(write: Write) -> None:
    assert load(write(GOOD)).header_backup.directory == Path("/var/lib/volward/header-backups")
    other = write(GOOD, backups='[header_backup]\ndirectory = "/srv/safe/headers"\n')
    assert load(other).header_backup.directory == Path("/srv/safe/headers")
    assert stores.specs(load(other))["pgdata"].header_backups == Path("/srv/safe/headers")


@pytest.mark.parametrize(
    ("line", "words", "suggestion"),
    [
        ('directory = "backups"', "not an absolute path", "/backups"),
        ('directory = "/run/backups"', "does not outlive a reboot", "another disk"),
        ('directory = "/srv"', 'is "/srv"', "/srv/header-backups"),
        ('directory = "/srv/volward/pgdata/headers"', "which is on volume pgdata", "on no volume"),
        ('directory = "/srv/volward/pgdata"', "which is on volume pgdata", "on no volume"),
        ("directory = 1", "must be a text in quotes", "header-backups"),
        ('folder = "/srv/x"', "not a setting that volward knows", "directory"),
    ],
)
def test_a_wrong_place_for_header_backups(write: Write, line: str, words: str, suggestion: str) -> None:
    (problem,) = problems(write(GOOD, backups=f"[header_backup]\n{line}\n"))
    assert problem.path.startswith("header_backup.")
    assert problem.file.name == "backups.toml"
    assert words in problem.what and suggestion in problem.suggestion
