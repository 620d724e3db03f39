"""Values over wide inputs: parsers give a value or a sentence, never anything else."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from volward.config import duration, links, size, values
from volward.config.problem import FieldError

PARSERS: list[Callable[[object], object]] = [
    size.parse,
    duration.parse,
    values.parse_device,
    values.parse_mount_point,
    values.parse_mount_option,
    values.parse_consumer,
    values.parse_account,
    values.parse_mode,
    values.parse_sub_directory,
]
ANYTHING = st.one_of(
    st.text(max_size=40),
    st.text("/.:@-ab ", max_size=20),
    st.from_regex(r"(file:|/dev/|container:|/srv/)[ -~]{0,20}", fullmatch=True),
    st.integers(),
    st.booleans(),
    st.none(),
    st.lists(st.text(max_size=3), max_size=2),
)


@pytest.mark.parametrize("parse", PARSERS, ids=lambda parse: parse.__name__)
@given(value=ANYTHING)
def test_a_parser_answers_or_explains(parse: Callable[[object], object], value: object) -> None:
    try:
        parse(value)
    except FieldError as error:
        assert error.what.endswith((".", ":")), error.what
        assert error.suggestion


@given(st.integers(1, 2**40))
def test_sizes_survive_being_written(blocks: int) -> None:
    assert size.parse(size.written(blocks * 4096)) == blocks * 4096


@pytest.mark.parametrize(
    ("text", "expected"), [("1GiB", 2**30), ("1.5 GiB", 3 * 2**29), ("4 kib", 4096), ("2 TiB", 2**41)]
)
def test_sizes(text: str, expected: int) -> None:
    assert size.parse(text) == expected


@given(st.text(max_size=60).map(lambda text: f"/srv/{text}"))
def test_an_accepted_mount_point_is_in_its_shortest_form(text: str) -> None:
    try:
        path = values.parse_mount_point(text)
    except FieldError:
        return
    assert str(path) == text
    assert ".." not in path.parts


@pytest.mark.parametrize(
    "name", ["sda", "sdaa1", "vdb", "xvdf", "nvme0n1", "nvme1n2p3", "mmcblk0p1", "dm-12", "md127", "loop3"]
)
def test_kernel_names(name: str) -> None:
    assert links.is_kernel_name(Path("/dev") / name)


@pytest.mark.parametrize("path", ["/dev/disk/by-id/sda", "/dev/mapper/vg-lv", "/dev/vg/sda", "/dev/md/data"])
def test_stable_names(path: str) -> None:
    assert not links.is_kernel_name(Path(path))


@given(hours=st.integers(1, duration.MAXIMUM_SECONDS // duration.HOUR_SECONDS))
def test_a_duration_is_read_as_it_is_written(hours: int) -> None:
    seconds = hours * duration.HOUR_SECONDS
    assert duration.parse(duration.written(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("1 day", 86400), ("2 weeks", 14 * 86400), ("12hours", 12 * 3600), (" 90 DAYS ", 90 * 86400)]
)
def test_units_of_a_duration(text: str, seconds: int) -> None:
    assert duration.parse(text) == seconds
