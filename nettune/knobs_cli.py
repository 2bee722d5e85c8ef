"""The verbs of `nettune knobs`."""

from dataclasses import asdict
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from nettune.say import Screen


class _ListedByDefault(TyperGroup):
    """`nettune knobs rmem` is `nettune knobs list rmem`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # Any: click's Context, or typer's own copy of it
        """What click would, with `list` where no verb was given."""
        given = args and (args[0] in self.commands or args[0] == "--help")
        return super().parse_args(ctx, args if given else ["list", *args])


knobs_app = typer.Typer(
    cls=_ListedByDefault,
    help="The catalogue of knobs: what there is to set, and what of it a host has. `nettune knobs WORDS` lists.",
)
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
DeviceOption = Annotated[str, typer.Option(help="The device whose knobs are asked.", metavar="DEV")]
PolicyOption = Annotated[str, typer.Option(help="Only these policies, as A,C (docs/knobs.md).", metavar="LETTERS")]
FilterArgument = Annotated[list[str] | None, typer.Argument(help="Words of id, kind or description.", metavar="FILTER")]


@knobs_app.command(name="list")
def list_knobs(words: FilterArgument = None, policy: PolicyOption = "", as_json: JsonOption = False) -> None:
    """The knobs that match.

    This is what `nettune knobs` alone does.
    """
    from tuning.knobs.catalogue import chosen, policies

    screen = Screen(quiet=as_json)
    found = chosen(" ".join(words or ()), policies(policy))
    rows = [(each.id, each.policy, each.disruption, each.setting, each.about) for each in found]
    if not rows:
        screen.line("no knob has all of these words; `nettune knobs` lists all, `knobs show ID` explains one")
    else:
        screen.table(f"{len(rows)} knobs", ("knob", "policy", "costs", "in a plan", "what it is"), rows)
    if as_json:
        screen.document([asdict(each) for each in found])


@knobs_app.command()
def show(
    knob: Annotated[
        str, typer.Argument(help="A knob's id (see `nettune knobs`), or its last part: tcp_rmem.", metavar="ID")
    ],
    host: Annotated[str, typer.Option(help="What it has there: local, or ssh://user@host.", metavar="HOST")] = "",
    device: DeviceOption = "",
    as_json: JsonOption = False,
) -> None:
    """One knob explained.

    What it takes, where it acts, what it costs, how to keep it; with --host its value there.
    """
    from bench.hosts.opened import opened
    from tuning.knobs.catalogue import meant
    from tuning.knobs.explain import document, explained
    from tuning.knobs.presence import survey

    screen, seen, asked = Screen(quiet=as_json), None, meant(knob)
    if host or device:
        with opened(host or "local") as where:
            seen = survey(where, (asked,), device)
    said = explained(asked, seen)
    screen.table(asked.id, ("", ""), list(said.items()))
    if as_json:
        screen.document(document(asked, seen))


@knobs_app.command()
def check(
    host: Annotated[str, typer.Argument(help="local, or ssh://user@host.", metavar="HOST")] = "local",
    words: Annotated[str, typer.Option("--filter", help="Only knobs with these words.", metavar="WORDS")] = "",
    policy: PolicyOption = "",
    device: DeviceOption = "",
    as_json: JsonOption = False,
) -> None:
    """Which of the knobs a host has.

    Which it may only read, which are absent; nothing is written.
    """
    from bench.hosts.opened import opened
    from tuning.knobs.catalogue import chosen, policies
    from tuning.knobs.presence import counted, survey

    screen, asked = Screen(quiet=as_json), chosen(words, policies(policy))
    with opened(host) as where:
        seen = survey(where, asked, device)
    rows = [(each.id, each.state, each.value or "", each.note) for each in seen.found]
    screen.table("", ("knob", "state", "value", "why"), rows)
    screen.line(f"{seen.host}: {counted(seen)}", "bold")
    if as_json:
        screen.document(asdict(seen))
