"""Every error has one code, one exit status, a text to explain it, and a resolution."""

import gc
import re
from pathlib import Path

import pytest

from volward.errors import ToolFailedError, ToolTimeoutError, VolwardError, every_error
from volward.exit_status import ExitStatus

ERRORS = every_error()


@pytest.mark.parametrize("code", ERRORS)
def test_is_complete(code: str) -> None:
    error = ERRORS[code]
    assert re.fullmatch(r"VW\d{4}", code)
    assert error.code == code
    assert error.exit_status is not ExitStatus.DONE
    lines = (error.__doc__ or "").strip().splitlines()
    assert len(lines) >= 3 and not lines[1], "a first sentence, a blank line, an explanation"
    assert lines[0].endswith(".")


def test_codes_are_sorted_and_unique() -> None:
    assert list(ERRORS) == sorted(ERRORS)
    assert len(set(ERRORS.values())) == len(ERRORS)
    assert all(issubclass(error, VolwardError) for error in ERRORS.values())


@pytest.mark.parametrize(
    ("statuses", "of_pass"),
    [
        ((), ExitStatus.DONE),
        ((ExitStatus.CONFIGURATION, ExitStatus.WOULD_DESTROY), ExitStatus.CONFIGURATION),
        ((ExitStatus.CONFIGURATION, ExitStatus.PROVIDER_UNAVAILABLE, ExitStatus.BUSY), ExitStatus.PROVIDER_UNAVAILABLE),
    ],
)
def test_a_volume_that_waits_decides_the_status_of_a_pass(
    statuses: tuple[ExitStatus, ...], of_pass: ExitStatus
) -> None:
    assert ExitStatus.of_pass(statuses) is of_pass


def test_a_unit_tries_nothing_again_that_needs_a_person() -> None:
    """systemd.exec(5) has the names of the statuses."""
    names = {"DATAERR": 65, "CANTCREAT": 73, "PROTOCOL": 76, "NOPERM": 77, "CONFIG": 78}
    unit = (Path(__file__).parents[2] / "units/volward-rotate.service").read_text()
    (line,) = (line for line in unit.splitlines() if line.startswith("RestartPreventExitStatus="))
    assert {names[name] for name in line.partition("=")[2].split()} == {s for s in ExitStatus if s.needs_a_person}


def test_says_what_happened_and_then_what_to_do() -> None:
    error = ToolFailedError("It broke.", resolution="Mend it.", status=4, stderr="no such device")
    assert str(error) == "It broke. Mend it."
    assert (error.what, error.resolution, error.status, error.stderr) == ("It broke.", "Mend it.", 4, "no such device")


def test_two_classes_with_one_code_are_refused() -> None:
    twin = type("Twin", (VolwardError,), {"code": ToolTimeoutError.code})
    with pytest.raises(RuntimeError, match="used by two"):
        every_error()
    twin.code = "VW9999"  # type: ignore[attr-defined]
    assert every_error()["VW9999"] is twin
    del twin
    gc.collect()  # a class is garbage in a cycle; other tests ask for all errors too
