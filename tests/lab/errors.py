"""What can go wrong with the lab itself, as opposed to with the program that is tested in it."""


class LabError(Exception):
    """The lab could not do what it was asked; the message says what happened, then what to do."""


class LabUnavailableError(LabError):
    """This machine cannot run the lab, or the lab is not built; tests that need it are skipped."""
