"""Runs in the virtual host: begins the first apply or a rotation of many volumes, each cut short at its own point.

Standard input: {"verb": "provision" or "rotate", "stop": bool, "at_once": int, "recovery": path, "cuts": [{"volume",
"step", "point", "recovery"}]}; a rotation's cuts also have "provider", "way" and "cut_before". The way is what is cut:
"" a rotation, "now" one whose old keyslot goes at once, "due" the removal of a keyslot whose grace is over (after a
whole rotation), "back" the giving up of a rotation that was cut in the step "cut_before".
Each volume is provisioned in a process of its own, which at its point ends itself with SIGKILL, or with "stop"
stands still until the power goes. At the point "after N ms" it is killed N milliseconds after the step began, with
every process that it started. Prints {volume: how it ended}; "cut" is what is expected. Nothing of this is in the
product: the functions of volward are wrapped here.
"""

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from volward import journal, stores
from volward.cli.delivery import DescriptorDelivery
from volward.config import load
from volward.host import block, cryptenroll, cryptsetup, header
from volward.keys import header_token
from volward.model import ProviderKind, VolumeSpec
from volward.operations import provision, rotate, unrotate
from volward.operations.watcher import Watcher
from volward.plan.rotation import Wish
from volward.secret import SecretBytes

LOGS = Path("/run/cuts")


def main() -> None:
    order = json.load(sys.stdin)
    specs = stores.specs(load(Path("/etc/volward")))
    LOGS.mkdir(exist_ok=True)
    waiting = list(order["cuts"])
    running: dict[int, str] = {}
    ended: dict[str, str] = {}
    while waiting or running:
        while waiting and len(running) < order["at_once"]:
            cut = waiting.pop(0)
            child = os.fork()
            if child == 0:
                _in_child(order, cut, specs)
            running[child] = cut["volume"]
        child, status = os.waitpid(-1, os.WUNTRACED)
        volume = running.pop(child)
        if os.WIFSTOPPED(status) and not order["stop"]:
            running[child] = volume  # about to be killed
            os.waitpid(child, 0)
            del running[child]
            ended[volume] = "cut"
        elif os.WIFSTOPPED(status) or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            ended[volume] = "cut"
        else:
            said = (LOGS / volume).read_text(errors="replace")[-3000:]
            ended[volume] = f"status {os.waitstatus_to_exitcode(status)}: {said}"
    print(json.dumps(ended))


def _in_child(order: dict[str, Any], cut: dict[str, Any], specs: dict[str, Any]) -> None:
    # A session of its own, so that a stopped process is not continued when its parent ends.
    os.setsid()
    log = os.open(LOGS / cut["volume"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    status = 3
    try:
        spec = specs[cut["volume"]]
        if cut.get("way") == "due":
            _rotate(spec, None, {**cut, "way": ""})
            _let_its_grace_be_over(spec)
        if cut.get("way") == "back":
            _cut_before(spec, cut)
        _wrap(cut["step"], cut["point"], signal.SIGSTOP if order["stop"] else signal.SIGKILL)
        escrow = os.open(order["recovery"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        delivery = DescriptorDelivery(escrow) if cut["recovery"] else None
        run = _rotate if order.get("verb") == "rotate" else _provision
        print(run(spec, delivery, cut))
    except BaseException:  # noqa: BLE001 (reported to the test)
        traceback.print_exc()
        status = 4
    finally:
        sys.stdout.flush()
        os._exit(status)


def _provision(spec: VolumeSpec, delivery: DescriptorDelivery | None, cut: dict[str, Any]) -> object:
    return provision.provision([spec], recovery=delivery, watcher=Watcher(), approved={spec.name})


def _rotate(spec: VolumeSpec, delivery: DescriptorDelivery | None, cut: dict[str, Any]) -> object:
    way = cut["way"]
    if way == "back":
        (record,) = journal.unfinished(spec.name)
        return unrotate.give_up(spec, record, deadline_seconds=60.0)
    wish = Wish(due=True) if way == "due" else Wish(ProviderKind(cut["provider"]), at_once=way == "now")
    done = rotate.rotate([spec], rotate.Pass(wish, delivery, Watcher(), {spec.name}, deadline_seconds=60.0))
    if done[0].error:
        raise done[0].error
    return done


def _let_its_grace_be_over(spec: VolumeSpec) -> None:
    """Date the retired key back, as if more days had gone by than the grace period has."""
    node = block.resolve_file(spec.device).node
    present = header.read(node).header
    assert present is not None
    for token, content in header_token.all_of(present):
        if content.retired is not None:
            text = header_token.dated(token, retired=content.retired - spec.rotation.grace_seconds - 1)
            cryptsetup.import_token(node, text, number=token.number, replace=True)


def _cut_before(spec: VolumeSpec, cut: dict[str, Any]) -> None:
    """Have a process begin the rotation and be killed when that step's work is done."""
    child = os.fork()
    if child == 0:
        _wrap(cut["cut_before"], "acted", signal.SIGKILL)
        _rotate(spec, None, {**cut, "way": ""})
        os._exit(5)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError(f"the rotation was not cut before: {status}")


def _wrap(wanted: str, point: str, number: signal.Signals) -> None:
    """Wrap what leads to the point."""

    def end() -> None:
        os.kill(os.getpid(), number)

    def after(owner: Any, name: str, *, also: Callable[..., None] | None = None) -> None:
        original = getattr(owner, name)

        def wrapped(*args: Any, **named: Any) -> Any:
            result = original(*args, **named)
            if also:
                also(*args, **named)
            end()
            return result

        setattr(owner, name, wrapped)

    match point:
        case "done" if wanted == "begin":
            after(journal, "begin")
        case "begun" | "acted" | "done":
            _wrap_journal(wanted, point, end)
        case "without-keyslot":
            after(cryptsetup, "format", also=_erase)
        case "twice":
            _wrap_format_twice(end)
        case "token-left":
            after(cryptsetup, "kill_slot")
        case "keyslot-left":
            after(cryptsetup, "remove_token")
        case "without-token" if "enrol-tpm2" in wanted:
            after(cryptenroll, "enrol_tpm2", also=_forget_token)
        case "without-token":
            after(cryptsetup, "add_key")
        case "handed-over":
            after(DescriptorDelivery, "hand_over")
        case _ if point.startswith("after "):
            _wrap_journal(wanted, "begun", lambda: _end_later(int(point.split()[1]), number))
        case _:
            raise ValueError(point)


def _end_later(milliseconds: int, number: signal.Signals) -> None:
    """Have another process end (or stop) this one and all that it started, whatever it does by then."""
    victim = os.getpid()
    if os.fork() == 0:
        os.setsid()
        time.sleep(milliseconds / 1000)
        with contextlib.suppress(ProcessLookupError):  # it may have come to its end before
            os.kill(victim, signal.SIGSTOP)  # so that it starts nothing more
            for child in _descendants(victim):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, number)
            os.kill(victim, number)
        os._exit(0)


def _descendants(ancestor: int) -> list[int]:
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [ancestor]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one and child != os.getpid()]
    return found[1:]


def _wrap_journal(wanted: str, point: str, end: Callable[[], None]) -> None:
    begin_step, end_step = journal.Operation.begin_step, journal.Operation.end_step

    def begin(self: journal.Operation, name: str, **facts: Any) -> None:
        begin_step(self, name, **facts)
        if point == "begun" and name == wanted:
            end()

    def finish(self: journal.Operation, name: str, **facts: Any) -> None:
        if point == "acted" and name == wanted:
            end()
        end_step(self, name, **facts)
        if point == "done" and name == wanted:
            end()

    journal.Operation.begin_step = begin  # type: ignore[method-assign]
    journal.Operation.end_step = finish  # type: ignore[method-assign]


def _wrap_format_twice(end: Callable[[], None]) -> None:
    """First a format that is cut without a keyslot; then, in a second run, a cut in that run's first step."""
    original = cryptsetup.format
    begin_step = journal.Operation.begin_step

    def cut_format(node: Path, *, key: SecretBytes, **named: Any) -> None:
        original(node, key=key, **named)
        _erase(node)
        # What the run that follows does, as far as its first step: the journal has it begun after the format.
        (unfinished,) = journal.unfinished(str(named["label"]))
        begin_step(journal.resume(unfinished), "create-key:credential")
        end()

    cryptsetup.format = cut_format


def _erase(node: Path, **_: Any) -> None:
    from volward.host import run

    run.mutate(["cryptsetup", "luksErase", "--batch-mode", node])


def _forget_token(node: Path, **_: Any) -> None:
    found = header.read(node).header
    assert found is not None
    for token in found.tokens:
        if token.type == "systemd-tpm2":
            cryptsetup.remove_token(node, token.number)


if __name__ == "__main__":
    main()
