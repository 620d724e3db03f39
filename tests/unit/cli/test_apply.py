"""`volward apply`: what is asked before, what reaches the operation, and what is told afterwards."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import click
import pytest
from tests.unit.builders import BLANK, IDENTITY
from tests.unit.cli.driver import Cli

from volward.cli.delivery import DescriptorDelivery, TerminalDelivery
from volward.errors import ConfirmationError, MountPointError, NoDeviceMapperError, NotBlankError, VolwardError
from volward.model import Action, BlankProbe, Finding, Plan, Presence, Step, VolumeSpec
from volward.operations.prepare import Prepared, Refused
from volward.operations.provision import Outcome

FORMAT = Action(Step.FORMAT, "format /dev/vdb", "it is blank", destructive=True)
WIPE = Action(Step.WIPE, "wipe /dev/vdb: ext4", "said so", destructive=True)
MOUNT = Action(Step.MOUNT, "mount it", "it is not mounted")
SEEN = replace(BLANK, probe=BlankProbe(Presence.PRESENT, (Finding("ext4 file system", 1080),)))
REFUSAL = NotBlankError("/dev/vdb is not blank.", resolution="Look at it.")


class Operation:
    """Stands for `prepare` and `provision`: plans or errors by volume, and what provisioning was asked."""

    def __init__(self, cli: Cli) -> None:
        self.plans: dict[str, Plan | VolwardError] = {
            "cache": Plan("cache", (FORMAT, MOUNT)),
            "queue": Plan("queue", (), "queue is fine"),
        }
        self.outcomes: dict[str, Outcome] = {}
        self.overwritten: set[str] = set()
        self.can_hand_over_recovery = False
        self.unfinished = False
        self.calls: list[dict[str, Any]] = []
        cli.replace("volward.operations.prepare.prepare", self.prepare)
        cli.replace("volward.operations.provision.provision", self.provision)

    def prepare(
        self, spec: VolumeSpec, goal: object, *, can_hand_over_recovery: bool, overwrite: bool
    ) -> Prepared | Refused:
        self.can_hand_over_recovery = can_hand_over_recovery
        self.overwritten |= {spec.name} if overwrite else set()
        plan = self.plans[spec.name]
        return Prepared(spec, SEEN, plan, self.unfinished) if isinstance(plan, Plan) else Refused(spec, plan)

    def provision(self, specs: Sequence[VolumeSpec], **options: Any) -> tuple[Outcome, ...]:
        self.calls.append({"volumes": [spec.name for spec in specs], **options})
        return tuple(self.outcomes.get(spec.name, Outcome(spec.name, provisioned=True)) for spec in specs)

    @property
    def call(self) -> dict[str, Any]:
        (only,) = self.calls
        return only


@pytest.fixture
def operation(cli: Cli) -> Operation:
    return Operation(cli)


def test_yes_confirms_the_volumes_that_are_named(cli: Cli, operation: Operation) -> None:
    done = cli("apply", "--yes", "cache", "queue")
    assert done.status == 0
    assert operation.call["volumes"] == ["cache"], "what has nothing to do is left alone"
    assert operation.call["approved"] == {"cache"}
    assert operation.call["recovery"] is None
    assert operation.call["overwrite"] == {}
    assert "! format /dev/vdb, because it is blank" in done.out
    assert "queue\n  nothing to do, because queue is fine" in done.out
    assert "cache: provisioned, open and mounted" in done.out
    assert cli.demanded == [(["cache", "queue"], True)]


def test_a_run_that_was_cut_after_its_last_step_is_brought_to_its_end(cli: Cli, operation: Operation) -> None:
    operation.unfinished = True
    assert cli("apply", "queue").status == 0
    assert operation.call["volumes"] == ["queue"]


def test_yes_alone_confirms_nothing(cli: Cli, operation: Operation) -> None:
    done = cli("apply", "--yes")
    assert done.status == 73
    assert "--yes confirms only volumes that are named, and the plan of cache destroys something." in done.err
    assert "Nothing was changed. Read the lines with !, then name them: `volward apply --yes cache`." in done.err
    assert operation.calls == []


def test_without_a_terminal_nothing_destructive_is_done(cli: Cli, operation: Operation) -> None:
    done = cli("apply")
    assert done.status == 73
    assert "no terminal to ask on" in done.err
    assert operation.calls == []


def test_what_destroys_nothing_needs_no_confirmation(cli: Cli, operation: Operation) -> None:
    operation.plans["cache"] = Plan("cache", (MOUNT,))
    assert cli("apply").status == 0
    assert operation.call["approved"] == set()


def test_on_a_terminal_yes_is_typed(cli: Cli, operation: Operation) -> None:
    cli.on_a_terminal("yes")
    assert cli("apply").status == 0
    assert cli.asked == ["Type yes to go on"]
    assert isinstance(operation.call["recovery"], TerminalDelivery)
    assert operation.can_hand_over_recovery


@pytest.mark.parametrize("typed", ["", "y", "YES", "no"])
def test_anything_else_is_no(cli: Cli, operation: Operation, typed: str) -> None:
    cli.on_a_terminal(typed)
    assert cli("apply").status == 73
    assert operation.calls == []


def test_ctrl_c_at_the_question(cli: Cli, operation: Operation) -> None:
    cli.on_a_terminal(click.Abort())
    done = cli("apply")
    assert done.status == 130
    assert "interrupted" in done.err
    assert operation.calls == []


def test_one_volume_is_refused_and_the_other_goes_on(cli: Cli, operation: Operation) -> None:
    operation.plans |= {"cache": REFUSAL, "queue": Plan("queue", (FORMAT,))}
    done = cli("apply", "--yes", "cache", "queue")
    assert done.status == 73
    assert done.err.startswith("cache: /dev/vdb is not blank.\n  Look at it.\n  (VW0302")
    assert operation.call["volumes"] == ["queue"]
    assert "queue: provisioned" in done.out


def test_the_status_is_the_first_refusals_and_not_the_last(cli: Cli, operation: Operation) -> None:
    operation.plans |= {"cache": Plan("cache", (MOUNT,)), "queue": REFUSAL}
    busy = MountPointError("It holds files.", resolution="Move them.")
    operation.outcomes["cache"] = Outcome("cache", provisioned=False, error=busy)
    done = cli("apply")
    assert done.status == 73
    assert done.err.index("queue: /dev/vdb") < done.err.index("cache: It holds files.")
    assert "provisioned" not in done.out


def test_remarks_and_a_recovery_key_that_reached_nobody(cli: Cli, operation: Operation) -> None:
    left = ConfirmationError("The recovery key was discarded.", resolution="Run `volward recovery enrol cache`.")
    operation.outcomes["cache"] = Outcome("cache", provisioned=True, error=left, remarks=("PCR 7 is empty",))
    done = cli("apply", "--yes", "cache")
    assert done.status == 73
    assert "cache: provisioned, open and mounted" in done.out
    assert "  warning: PCR 7 is empty\n" in done.err
    assert "volward recovery enrol cache" in done.err


def test_swap_is_not_mounted(cli: Cli, operation: Operation) -> None:
    cli.configure('[volumes.cache]\ndevice = "/dev/disk/by-id/x"\nstore = "scratch"\nfile_system = "swap"\n')
    assert "cache: provisioned, open and in use as swap" in cli("apply", "--yes", "cache").out


def test_no_recovery(cli: Cli, operation: Operation) -> None:
    cli.on_a_terminal()
    assert cli("apply", "--yes", "--no-recovery", "cache").status == 0
    assert operation.call["recovery"] is None
    assert cli("apply", "--no-recovery", "--recovery-fd", "5").status == 2


# --- the descriptor of an escrow --------------------------------------------------------------------------


@pytest.fixture
def escrow() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def test_a_descriptor_that_takes_it(cli: Cli, operation: Operation, escrow: tuple[int, int]) -> None:
    assert cli("apply", "--yes", "--recovery-fd", str(escrow[1]), "cache").status == 0
    assert isinstance(operation.call["recovery"], DescriptorDelivery)
    assert operation.can_hand_over_recovery


@pytest.mark.parametrize("which", ["closed", "reading end", "no reader", "standard output", "negative"])
def test_a_descriptor_that_does_not_take_it_is_refused_before_anything(
    cli: Cli, operation: Operation, escrow: tuple[int, int], which: str
) -> None:
    reader, writer = escrow
    number = {"closed": 987, "reading end": reader, "no reader": writer, "standard output": 1, "negative": -1}[which]
    if which == "no reader":
        os.close(reader)
    done = cli("apply", "--yes", f"--recovery-fd={number}", "cache")
    assert done.status == 73
    assert f"Descriptor {number} cannot take a recovery key" in done.err
    assert operation.calls == []


# --- overwriting ------------------------------------------------------------------------------------------


@pytest.fixture
def wiping(operation: Operation) -> Operation:
    operation.plans["cache"] = Plan("cache", (WIPE, FORMAT, MOUNT))
    return operation


def test_the_identity_that_was_typed_goes_with_the_volume(cli: Cli, wiping: Operation) -> None:
    assert cli("apply", "--yes", "--overwrite", "cache=PG1", "cache").status == 0
    assert wiping.overwritten == {"cache"}
    assert wiping.call["overwrite"] == {"cache": IDENTITY}


def test_it_is_asked_for_once_the_plan_was_read(cli: Cli, wiping: Operation) -> None:
    cli.on_a_terminal("  PG1 ", "yes")
    done = cli("apply", "--overwrite", "cache", "cache")
    assert done.status == 0
    assert cli.asked == ["Type its serial number", "Type yes to go on"]
    assert done.out.index("! wipe /dev/vdb: ext4") < done.out.index("will be wiped with everything on it")
    assert "PG1" not in cli.asked[0], "it is read off the device, not off the question"


@pytest.mark.parametrize("typed", ["PG2", "pg1", "PG1 1", "yes"])
def test_another_identity_changes_nothing(cli: Cli, wiping: Operation, typed: str) -> None:
    done = cli("apply", "--yes", "--overwrite", f"cache={typed}", "cache")
    assert done.status == 73
    assert "That is not the identity of /dev/vdb." in done.err
    assert wiping.calls == []


def test_nobody_to_ask(cli: Cli, wiping: Operation) -> None:
    assert cli("apply", "--yes", "--overwrite", "cache", "cache").status == 77
    assert wiping.calls == []


def test_the_identity_alone_does_not_replace_the_confirmation(cli: Cli, wiping: Operation) -> None:
    assert cli("apply", "--overwrite", "cache=PG1", "cache").status == 73
    assert wiping.calls == []


def test_a_volume_that_is_not_in_hand(cli: Cli, wiping: Operation) -> None:
    done = cli("apply", "--yes", "--overwrite", "queue=Q1", "cache")
    assert done.status == 73
    assert '--overwrite names "queue"' in done.err
    assert "`volward apply --overwrite queue queue`" in done.err


def test_what_needs_no_wipe_is_not_asked_about(cli: Cli, operation: Operation) -> None:
    assert cli("apply", "--yes", "--overwrite", "cache", "cache").status == 0
    assert operation.call["overwrite"] == {}


# --- before anything --------------------------------------------------------------------------------------


def test_no_configuration(cli: Cli) -> None:
    (cli.root / "volward.toml").unlink()
    done = cli("apply")
    assert done.status == 78
    assert "volward init" in done.err


def test_no_volume_and_an_unknown_one(cli: Cli, operation: Operation) -> None:
    assert cli("apply", "nobody").status == 78
    cli.configure("")
    done = cli("apply")
    assert (done.status, done.out) == (0, "")
    assert "No volume is configured" in done.err


def test_no_device_mapper(cli: Cli, operation: Operation, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*, load: bool) -> None:
        raise NoDeviceMapperError("None.", resolution="`make demo`.")

    monkeypatch.setattr("volward.cli.apply.demand_device_mapper", refuse)
    assert cli("apply", "--yes", "cache").status == 72
    assert operation.calls == []
