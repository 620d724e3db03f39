"""What Docker says of containers, and what it is told; its answers are those of docker 26."""

import json

import pytest

from volward.errors import ToolFailedError, ToolMissingError
from volward.host import docker, run
from volward.host.docker import Container

WHERE = "/srv/volward/data"
MISSING = f"error while creating mount source path '{WHERE}/app': mkdir {WHERE}/app: operation not permitted"
NO_SUCH = "Error response from daemon: No such container: other"


def described(name: str = "/app", policy: object = None, **state: object) -> dict[str, object]:
    restart = {"Name": "unless-stopped"} if policy is None else policy
    return {"Name": name, "State": {"Running": False, "Error": "", **state}, "HostConfig": {"RestartPolicy": restart}}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[run.Completed | Exception]:
    """The answers to come; what was asked is kept in `asked`."""
    answers: list[run.Completed | Exception] = []

    def answer(argv: list[str], **_: object) -> run.Completed:
        ASKED.append(argv)
        one = answers.pop(0)
        if isinstance(one, Exception):
            raise one
        return one

    ASKED.clear()
    monkeypatch.setattr(run, "read", answer)
    monkeypatch.setattr(run, "mutate", answer)
    return answers


ASKED: list[list[str]] = []


def done(stdout: str = "", status: int = 0, stderr: str = "") -> run.Completed:
    return run.Completed((), status, stdout, stderr)


def test_what_is_there_and_what_is_not(said: list[run.Completed | Exception]) -> None:
    said.append(done(json.dumps([described(Error=MISSING)]), 1, NO_SUCH))
    (found,) = docker.look(["app", "other"])
    assert found == Container("app", running=False, restart_policy="unless-stopped", error=MISSING)
    assert ASKED == [["docker", "container", "inspect", "app", "other"]]


def test_none_of_them_is_there(said: list[run.Completed | Exception]) -> None:
    said.append(done("[]\n", 1, NO_SUCH))
    assert docker.look(["other"]) == ()


@pytest.mark.parametrize(
    "answer",
    [
        done("[]\n", 1, "Cannot connect to the Docker daemon at unix:///var/run/docker.sock."),
        done("nonsense"),
        done('[{"Name": "/app"}]'),
        done("[17]"),
    ],
)
def test_an_engine_that_does_not_answer(said: list[run.Completed | Exception], answer: run.Completed) -> None:
    said.append(answer)
    with pytest.raises(ToolFailedError):
        docker.look(["app"])


@pytest.mark.parametrize(
    ("container", "failed"),
    [
        (Container("app", running=False, restart_policy="always", error=MISSING), True),
        (Container("app", running=True, restart_policy="always", error=MISSING), False),
        (Container("app", running=False, restart_policy="no", error=MISSING), False),
        (Container("app", running=False, restart_policy="", error=MISSING), False),
        (Container("app", running=False, restart_policy="always", error="exec format error"), False),
        (Container("app", running=False, restart_policy="always"), False),
    ],
)
def test_one_that_could_not_be_started_without_its_directory(container: Container, failed: bool) -> None:
    assert container.failed_without(WHERE) is failed


def test_a_policy_that_is_missing_is_none(said: list[run.Completed | Exception]) -> None:
    said.append(done(json.dumps([described(policy="odd", Running=True)])))
    assert docker.look(["app"]) == (Container("app", running=True, restart_policy=""),)


def test_the_engine_is_not_started_by_being_asked(said: list[run.Completed | Exception]) -> None:
    said.append(done("activating\n"))
    assert docker.engine_state() == "activating"
    assert ASKED == [["systemctl", "show", "--property=ActiveState", "--value", "docker.service"]]


def test_start_and_stop(said: list[run.Completed | Exception]) -> None:
    said += [done(), done()]
    docker.start("app")
    docker.stop("app")
    assert ASKED == [["docker", "container", "start", "app"], ["docker", "container", "stop", "-t", "30", "app"]]


def test_the_name_of_one(said: list[run.Completed | Exception]) -> None:
    said += [done("/app\n"), ToolMissingError("docker is missing.", resolution="Install it.")]
    assert docker.name("0123") == "app"
    assert docker.name("0123") == ""
