"""The process boundary, with real children."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from volward.errors import ToolFailedError, ToolMissingError, ToolTimeoutError
from volward.host import run
from volward.host.run import KeyFile
from volward.secret import SecretBytes

KEY = b"\x00binary\nkey\xff" + bytes(range(50))


@pytest.fixture(autouse=True)
def core_limit() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_CORE)
    yield
    resource.setrlimit(resource.RLIMIT_CORE, before)


@pytest.fixture
def key() -> Iterator[SecretBytes]:
    with SecretBytes(KEY) as secret:
        yield secret


def python(code: str, *words: run.Word) -> list[run.Word]:
    return [sys.executable, "-c", code, *words]


def test_the_environment_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "secret")
    monkeypatch.setenv("LD_PRELOAD", "")
    done = run.read(["env"])
    assert dict(line.split("=", 1) for line in done.stdout.splitlines()) == run.ENVIRONMENT
    assert done.argv == ("env",)


def test_a_child_has_a_session_of_its_own_and_no_terminal() -> None:
    said = run.read(python("import os; print(os.getsid(0) == os.getpid(), os.read(0, 1), os.getcwd())"))
    assert said.stdout.strip() == "True b'' /"


def test_mutate_runs_where_it_is_told(tmp_path: Path) -> None:
    assert run.mutate(["pwd"], working_directory=tmp_path).stdout.strip() == str(tmp_path)


@pytest.mark.parametrize("seekable", [False, True])
def test_keys_reach_a_child_whole_and_only_by_descriptor(key: SecretBytes, seekable: bool) -> None:
    code = (
        "import sys,os; word=sys.argv[1]; path=word.removeprefix('--key='); print(open(path,'rb').read().hex());"
        "print(oct(os.stat(path).st_mode & 0o777), word.startswith('--key=/dev/fd/'))"
    )
    done = run.read(python(code, KeyFile(key, prefix="--key=", seekable=seekable)))
    assert done.stdout.split() == [KEY.hex(), "0o600", "True"]
    assert KEY.hex() not in "".join(done.argv)


def test_two_keys_at_once(key: SecretBytes) -> None:
    with SecretBytes(b"other") as other:
        done = run.read(["cat", KeyFile(other), KeyFile(other)])
        assert done.stdout == "otherother"
        assert run.read(["cmp", KeyFile(key), KeyFile(other)], ok=(1,)).status == 1


def test_a_seekable_key_can_be_sought_and_is_zeroed_afterwards(key: SecretBytes) -> None:
    word = KeyFile(key, seekable=True)
    with word.opened() as descriptor:
        held = os.dup(descriptor)
        assert os.pread(held, 6, 1) == KEY[1:7]
    assert os.pread(held, 999, 0) == bytes(len(KEY))
    os.close(held)


def test_a_key_that_does_not_fit_into_a_pipe_is_refused() -> None:
    with SecretBytes(bytes(70000)) as big, pytest.raises(ValueError, match="64 KiB"):
        run.read(["true", KeyFile(big)])


def test_no_descriptor_is_left_open(key: SecretBytes) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    run.read(["true", KeyFile(key), KeyFile(key, seekable=True)])
    run.reveal(["echo", "x"]).wipe()
    with pytest.raises(ToolMissingError):
        run.read(["no-such-tool", KeyFile(key)])
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_children_with_secrets_leave_no_core_dump(key: SecretBytes) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    code = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE)[0])"
    assert run.read(python(code, KeyFile(key))).stdout.strip() == "1"


def test_where_core_dumps_are_forbidden_already_nothing_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (0, 0))
    monkeypatch.setattr(resource, "setrlimit", lambda *words: asked.append(words))
    run.forbid_core_dumps()
    assert asked == []


def test_an_unexpected_status_quotes_the_tool() -> None:
    with pytest.raises(ToolFailedError, match=r"status 3: no good\.") as caught:
        run.read(python("import sys; print('no\\n good', file=sys.stderr); sys.exit(3)"))
    assert (caught.value.status, caught.value.stderr) == (3, "no\n good\n")


def test_a_silent_failure_and_a_signal_are_told() -> None:
    with pytest.raises(ToolFailedError, match=r"`false` ended with status 1\."):
        run.read(["false"])
    with pytest.raises(ToolFailedError, match=r"signal 9"):
        run.read(python("import os; os.kill(os.getpid(), 9)"))


def test_expected_statuses_are_answers() -> None:
    assert run.read(["false"], ok=(0, 1)).status == 1


def test_a_missing_tool_names_its_package() -> None:
    with pytest.raises(ToolMissingError, match="no-such-tool is not installed"):
        run.read(["no-such-tool"])


def test_a_missing_tool_of_ours_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(words: list[str], **options: object) -> None:
        raise FileNotFoundError(2, "No such file", words[0])

    monkeypatch.setattr(subprocess, "Popen", absent)
    with pytest.raises(ToolMissingError, match="apt install e2fsprogs"):
        run.read(["mkfs.ext4"])


def test_a_missing_working_directory_is_not_a_missing_tool(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        run.mutate(["true"], working_directory=tmp_path / "none")


def test_a_reader_that_hangs_is_ended() -> None:
    started = time.monotonic()
    with pytest.raises(ToolTimeoutError, match="was ended"):
        run.read(["sleep", "60"], timeout_seconds=0.1)
    assert time.monotonic() - started < 5


def test_a_reader_that_closes_its_output_and_hangs_is_ended() -> None:
    with pytest.raises(ToolTimeoutError, match="was ended"):
        run.read(python("import os,time; os.close(1); os.close(2); time.sleep(60)"), timeout_seconds=0.5)


def test_a_reader_that_cannot_be_killed_is_reported_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "killpg", lambda *_: None)
    monkeypatch.setattr(run, "_DEATH_SECONDS", 0.05)
    with pytest.raises(ToolTimeoutError, match=r"cannot be ended \(process \d+\)"):
        run.read(["sleep", "60"], timeout_seconds=0.05)
    _end_what_was_left()


def test_a_late_mutation_is_left_running_and_survives_its_own_messages(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = f"import time; time.sleep(.3); print('x' * 9, flush=True); open({str(mark)!r}, 'w').write('done')"
    wrapped = f"import sys\ntry:\n exec({code!r})\nexcept OSError:\n open({str(mark)!r}, 'w').write('done')"
    with pytest.raises(ToolTimeoutError, match="still runs"):
        run.mutate(python(wrapped), deadline_seconds=0.1)
    for _ in range(100):
        if mark.exists() and mark.read_text() == "done":
            break
        time.sleep(0.05)
    assert mark.read_text() == "done"
    _end_what_was_left()


def test_only_children_that_change_the_host_ignore_a_broken_pipe() -> None:
    shell = ["sh", "-c", "exec grep SigIgn /proc/self/status"]
    bit = 1 << (signal.SIGPIPE - 1)
    assert int(run.mutate(shell).stdout.split()[1], 16) & bit
    assert not int(run.read(shell).stdout.split()[1], 16) & bit


def _end_what_was_left() -> None:
    while run._left_running:
        child = run._left_running.pop()
        child.kill()
        child.wait()


def test_output_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_OUTPUT_LIMIT_BYTES", 10)
    assert len(run.read(python("print('x' * 1000000)")).stdout) < 200000


def test_transform_seals_what_it_is_given(key: SecretBytes) -> None:
    assert run.transform(["od", "-An", "-tx1", "-v"], key).split() == [b"%02x" % byte for byte in KEY]


def test_transform_never_seals_a_wiped_secret() -> None:
    secret = SecretBytes(KEY)
    secret.wipe()
    with pytest.raises(ValueError, match="wiped already"):
        run.transform(["cat"], secret)


def test_reveal_returns_the_output_byte_for_byte() -> None:
    with run.reveal(python(f"import sys; sys.stdout.buffer.write({KEY!r})")) as secret, secret.view() as view:
        assert bytes(view) == KEY


def test_reveal_of_nothing_and_of_too_much() -> None:
    with pytest.raises(ToolFailedError, match="printed no key"):
        run.reveal(["true"])
    with pytest.raises(ToolFailedError, match="more than a key"):
        run.reveal(python("print('x' * 200000)"))


def test_reveal_never_quotes_the_output() -> None:
    with pytest.raises(ToolFailedError) as caught:
        run.reveal(["sh", "-c", "echo topsecret; echo sorry >&2; exit 1"])
    assert "sorry" in str(caught.value)
    assert "topsecret" not in str(caught.value).replace(" ".join(("sh", "-c", "echo topsecret")), "")


def test_a_long_command_is_followed_line_by_line() -> None:
    seen: list[str] = []
    with SecretBytes(b"first\nsecond\n") as secret:
        done = run.follow(["cat"], secret, on_line=seen.append, stop=lambda: False)
    assert (seen, done.status) == (["first", "second"], 0)


def test_a_long_command_that_is_to_stop_gets_a_signal_and_ends_in_order() -> None:
    seen: list[str] = []
    script = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (print('in order'), sys.exit(5)))\n"
    script += "print('runs', flush=True)\ntime.sleep(60)"
    done = run.follow([sys.executable, "-c", script], None, on_line=seen.append, stop=lambda: bool(seen))
    assert (seen, done.status) == (["runs", "in order"], 5)


def test_a_signal_that_a_long_command_forgets_comes_again() -> None:
    """cryptsetup reencrypt forgets what it gets while it opens its keyslots."""
    seen: list[str] = []
    script = (
        "import signal, sys, time\n"
        "def first(*_):\n"
        "    print('forgotten', flush=True)\n"
        "    signal.signal(signal.SIGTERM, lambda *_: (print('in order'), sys.exit(5)))\n"
        "signal.signal(signal.SIGTERM, first)\n"
        "print('runs', flush=True)\n"
        "time.sleep(60)\n"
    )
    wishes = iter([False, True])  # asked once
    done = run.follow([sys.executable, "-c", script], None, on_line=seen.append, stop=lambda: next(wishes, False))
    assert (seen, done.status) == (["runs", "forgotten", "in order"], 5)


def test_a_long_command_that_fails_says_why() -> None:
    with pytest.raises(ToolFailedError, match="No such file"):
        run.follow(["ls", "/no-such-file"], None, on_line=lambda _: None, stop=lambda: False)
