"""The command lines of cryptsetup-reencrypt(8), the keys as lines, and what its progress says."""

from collections.abc import Callable
from pathlib import Path

import pytest

from volward.errors import KeyRejectedError, ToolFailedError
from volward.host import reencrypt, run
from volward.host.run import Completed, Word
from volward.model import Progress
from volward.secret import SecretBytes

NODE, FILE = Path("/dev/vdb"), Path("/var/lib/volward/images/pg.img")
BLOCK = reencrypt.Target(NODE)
# As cryptsetup 2.7.5 prints it.
LINE = (
    '{"device":"/dev/vdb","device_bytes":"2097152","device_size":"8388608","speed":"1048576","eta_ms":"6000",'
    '"time_ms":"2000"}'
)


class Follow:
    """Stands where run.follow is."""

    def __init__(self) -> None:
        self.argv: list[str] = []
        self.keys: list[bytes] = []
        self.stdin: bytes | None = None
        self.said: list[str] = []
        self.error: Exception | None = None
        self.stops = False

    def __call__(
        self,
        argv: list[Word],
        standard_input: SecretBytes | None,
        *,
        on_line: Callable[[str], None],
        stop: Callable[[], bool],
    ) -> Completed:
        self.argv = [str(word) if not isinstance(word, run.KeyFile) else "KEY" for word in argv]
        if standard_input is not None:
            with standard_input.view() as view:
                self.stdin = bytes(view)
        for line in (*self.said, ""):
            on_line(line)
        self.stops = stop()
        if self.error:
            raise self.error
        return Completed((), 0, "", "")


@pytest.fixture
def follow(monkeypatch: pytest.MonkeyPatch) -> Follow:
    one = Follow()
    monkeypatch.setattr(run, "follow", one)
    return one


def test_every_key_is_a_line_in_the_order_of_the_keyslots(follow: Follow) -> None:
    keys = {3: SecretBytes(b"third"), 1: SecretBytes(b"fi\0st")}
    seen: list[Progress] = []
    follow.said = ["Finished, time 00m08s", LINE]
    reencrypt.begin(BLOCK, keys, on_progress=seen.append, stop=lambda: False)
    assert follow.stdin == b"fi\0st\nthird\n"
    assert follow.argv[:2] == ["cryptsetup", "reencrypt"]
    assert follow.argv[-2:] == ["1", "/dev/vdb"], "cryptsetup itself refuses a block device that is in use"
    assert seen == [Progress(2097152, 8388608, 1048576.0, 6.0)]
    assert seen[0].percent == 25


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (reencrypt.Target(FILE, is_file=True), ["--force-offline-reencrypt", str(FILE)]),
        (reencrypt.Target(FILE, is_file=True, mapping="volward-pg"), ["--active-name", "volward-pg", str(FILE)]),
        (reencrypt.Target(NODE, mapping="volward-pg"), [str(NODE)]),
    ],
)
def test_of_a_file_cryptsetup_is_told_whether_it_is_open(
    follow: Follow, target: reencrypt.Target, words: list[str]
) -> None:
    reencrypt.begin(target, {0: SecretBytes(b"k")}, on_progress=lambda _: None, stop=lambda: False)
    assert follow.argv[-len(words) - 1 :] == ["1", *words]
    reencrypt.resume(target, SecretBytes(b"key"), on_progress=lambda _: None, stop=lambda: False)
    assert follow.argv[-len(words) - 2 :] == ["--keyfile-size", "3", *words]


def test_going_on_takes_one_key(follow: Follow) -> None:
    reencrypt.resume(BLOCK, SecretBytes(b"key"), on_progress=lambda _: None, stop=lambda: False)
    assert follow.argv[-6:] == ["--resume-only", "--key-file", "KEY", "--keyfile-size", "3", "/dev/vdb"]
    assert follow.stdin is None


def test_what_was_cut_in_a_hot_zone_is_recovered_by_one_key(follow: Follow) -> None:
    reencrypt.recover(NODE, SecretBytes(b"key"))
    assert follow.argv == ["cryptsetup", "repair", "--batch-mode", "--type", "luks2", "/dev/vdb"]
    assert follow.stdin == b"key\n"
    assert not follow.stops, "it is never stopped on the way"
    follow.error = ToolFailedError("`cryptsetup`", resolution="Look.", status=2)
    with pytest.raises(KeyRejectedError):
        reencrypt.recover(NODE, SecretBytes(b"key"))


def test_a_key_that_fits_no_keyslot(follow: Follow) -> None:
    follow.error = ToolFailedError("`cryptsetup`", resolution="Look.", status=2)
    with pytest.raises(KeyRejectedError):
        reencrypt.begin(BLOCK, {0: SecretBytes(b"k")}, on_progress=lambda _: None, stop=lambda: False)


def test_a_key_with_a_newline_is_no_line() -> None:
    with pytest.raises(ValueError, match="newline"):
        reencrypt.lines([SecretBytes(b"good"), SecretBytes(b"ba\nd")])


@pytest.mark.parametrize(
    "line", ["", "{}", "[1]", "null", "not json", '{"device_bytes": "x"}', LINE.replace("6000", "")]
)
def test_any_other_line_says_nothing(line: str) -> None:
    assert reencrypt.parse(line) is None


def test_time_that_is_not_known_and_an_empty_device() -> None:
    progress = reencrypt.parse(LINE.replace('"6000"', '"-1"').replace("8388608", "0"))
    assert progress is not None
    assert progress.seconds_left is None
    assert progress.percent == 0
