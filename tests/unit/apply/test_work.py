"""What an operation takes over from the run that was cut."""

from dataclasses import replace

from tests.unit.builders import BLANK, SPEC, UUID, unfinished

from volward.apply.work import Work
from volward.keys.providers import Providers


def test_a_format_that_was_cut_is_resumed_also_after_a_second_cut() -> None:
    cut_again = unfinished((), "create-key:credential", "pin", "format", "create-key:credential")

    with Work.on(SPEC, replace(BLANK, unfinished=cut_again), Providers()) as work:
        assert work.resumes_format
        assert work.luks_uuid == UUID


def test_a_format_that_is_done_is_not_resumed() -> None:
    with Work.on(SPEC, replace(BLANK, unfinished=unfinished(("format",))), Providers()) as work:
        assert not work.resumes_format
