"""What becomes of keyslots that an enrolment left behind when it was cut short."""

from volward.model import Action, Observation, Step


def removing(seen: Observation) -> list[Action]:
    """Return an action for each keyslot that the journal proves to be volward's own and that no token describes."""
    return [
        Action(
            Step.REMOVE_KEYSLOT,
            f"remove keyslot {number}",
            "an enrolment was cut short before anybody had its key (journal)",
            destructive=True,
            keyslot=number,
        )
        for number in seen.orphaned_keyslots
    ]
