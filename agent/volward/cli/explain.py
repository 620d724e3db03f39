"""`volward explain CODE`: what an error means and what to do about it."""

import inspect

import click

from volward.cli.context import Context, pass_context
from volward.errors import VolwardError, every_error


@click.command
@click.argument("code", required=False)
@pass_context
def explain(context: Context, code: str | None) -> None:
    """Explain an error code such as VW0302; without one, list them all."""
    errors = every_error()
    if code is None:
        context.table(
            ("CODE", "EXIT", "MEANING"),
            [(name, str(int(kind.exit_status)), _summary(kind)) for name, kind in errors.items()],
        )
        return
    wanted = _full_code(code)
    if wanted not in errors:
        raise click.UsageError(f"There is no error code {code}. {_advice(wanted, errors)}")
    kind = errors[wanted]
    status = kind.exit_status
    context.print(f"{wanted}: {_summary(kind)}\n")
    for paragraph in _text(kind).split("\n\n")[1:]:
        context.print(click.wrap_text(" ".join(paragraph.split()), width=88))
        context.print()
    context.print(f"Exit status {int(status)} ({status.name.lower().replace('_', ' ')}).")


def _text(kind: type[VolwardError]) -> str:
    return inspect.cleandoc(kind.__doc__ or "")


def _summary(kind: type[VolwardError]) -> str:
    return " ".join(_text(kind).partition("\n\n")[0].split())


def _full_code(code: str) -> str:
    """Let vw302, VW0302, 0302 and 302 all mean VW0302."""
    bare = code.strip().upper().removeprefix("VW")
    return f"VW{bare.rjust(4, '0')}"


def _advice(code: str, errors: dict[str, type[VolwardError]]) -> str:
    """Suggest the codes of the same group, else those that look alike."""
    import difflib

    near = difflib.get_close_matches(code, errors, n=3, cutoff=0.7)
    return f"Did you mean {' or '.join(near)}?" if near else "`volward explain` lists them all."
