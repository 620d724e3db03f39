"""A plan as a person reads it, and as a program does."""

from volward.errors import NotBlankError
from volward.model import Action, Plan, ProviderKind, Step
from volward.report import plan as report

FORMAT = Action(Step.FORMAT, "format /dev/vdb", "it is proven blank", destructive=True)
KEY = Action(Step.CREATE_KEY, "create the key", "a keyslot needs it", provider=ProviderKind.CREDENTIAL)


def test_what_destroys_is_marked() -> None:
    assert list(report.lines(Plan("data", (KEY, FORMAT), warnings=("no recovery key",)))) == [
        "data",
        "  + create the key, because a keyslot needs it",
        "  ! format /dev/vdb, because it is proven blank",
        "  warning: no recovery key",
    ]


def test_nothing_to_do_has_a_reason() -> None:
    assert list(report.lines(Plan("data", (), "data is open"))) == ["data", "  nothing to do, because data is open"]


def test_json() -> None:
    assert report.as_json(Plan("data", (KEY,))) == {
        "volume": "data",
        "actions": [
            {
                "step": "create-key",
                "what": "create the key",
                "reason": "a keyslot needs it",
                "destructive": False,
                "provider": "credential",
            }
        ],
        "nothing_because": None,
        "warnings": [],
    }
    nothing = report.as_json(Plan("data", (), "data is open", ("mind this",)))
    assert (nothing["nothing_because"], nothing["warnings"]) == ("data is open", ["mind this"])


def test_a_refusal_as_json() -> None:
    assert report.error_as_json("data", NotBlankError("It is not blank.", resolution="Look.")) == {
        "volume": "data",
        "error": {"code": "VW0302", "what": "It is not blank.", "resolution": "Look."},
    }
