from pathlib import Path

from volward.host import mountinfo
from volward.model import Mount


def test_escapes_and_any_number_of_optional_fields() -> None:
    text = (
        "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\n"
        "37 36 253:3 / /srv/pg ro,relatime - ext4 /dev/mapper/volward-pg rw\n"
        "38 36 0:9 / /back\\134slash rw - tmpfs \\011 rw\n"
    )
    first, second, third = mountinfo.parse(text)
    assert first == Mount(
        "/dev/root", Path("/mnt 2"), "ext3", ("rw", "noatime", "errors=continue"), "98:0", "/mnt1", 36, 35,
        shared=7, master=1,
    )  # fmt: skip
    assert (second.shared, second.master) == (0, 0)
    assert second.read_only and second.options == ("ro", "relatime")
    assert (third.target, third.source) == (Path("/back\\slash"), "\t")


def test_a_line_that_is_not_as_documented_is_passed_over() -> None:
    assert mountinfo.parse("\nhello\n1 2 3\na b 8:1 / / rw - ext4 /dev/x rw\n") == ()


def test_only_octal_escapes_are_escapes() -> None:
    assert mountinfo.unescaped(r"a\089\04") == r"a\089\04"
