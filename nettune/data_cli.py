"""The verbs that give data out: `export`, `plan`, `schema`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from nettune.places import places
from nettune.say import Screen

plan_app = typer.Typer(help="One plan: check it, or take one that ships as a start.", no_args_is_help=True)
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


class Format(StrEnum):
    """What `export` writes."""

    csv = "csv"
    json = "json"
    parquet = "parquet"
    markdown = "markdown"


class Described(StrEnum):
    """What `schema` describes."""

    plan = "plan"
    profile = "profile"
    show = "show"


_BY_SUFFIX = {".json": Format.json, ".parquet": Format.parquet, ".md": Format.markdown}


def export(
    run: Annotated[str, typer.Argument(help="A run's id, its beginning, or 'last'.")] = "last",
    form: Annotated[Format | None, typer.Option("--format", help="By the file's name when not given.")] = None,
    output: Annotated[str, typer.Option("-o", "--output", help="The file to write; - is standard output.")] = "-",
    raw: Annotated[bool, typer.Option("--raw", help="What the tools printed, in place of the numbers.")] = False,
    store: Annotated[str, typer.Option("--store", help="Results: a file or database URL (or NETTUNE_STORE).")] = "",
) -> None:
    """The numbers of a run: a row per trial, metric, end and direction (csv, json, parquet), or a page for a ticket."""
    from nettune import exports, files
    from results.errors import WrongInput
    from results.store import opened

    chosen = form or _BY_SUFFIX.get(Path(output).suffix, Format.csv)
    if raw and chosen is Format.markdown:
        raise WrongInput("--raw does not go with markdown", hint="--format json, csv or parquet")
    with opened(places(store).store) as kept:
        content = exports.exported(kept, run, chosen.value, raw=raw)
    if output == "-":
        files.print_out(content)
    else:
        files.write(Path(output), content)
        Screen().line(output)


def schema(what: Annotated[Described, typer.Argument(help="The document to describe.")]) -> None:
    """The JSON Schema of a plan, a profile or the document of `show --json`, for editors and checks."""
    from nettune import files, schemas

    files.print_out(schemas.text(what.value))


@plan_app.command()
def check(
    plan: Annotated[str, typer.Argument(help="A plan that ships or a YAML file.", metavar="FILE")],
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value of the plan, e.g. tcp.streams=4.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether `run` would take a plan, and what it would do. Exits with 2 when it would not."""
    from nettune import contents
    from nettune.wiring import load_plan

    screen = Screen(quiet=as_json)
    loaded = load_plan(plan, sets or ())
    contents.told(screen, loaded)
    if as_json:
        screen.document(contents.document(loaded))


@plan_app.command(name="show")
def show_plan(name: Annotated[str, typer.Argument(help="A plan that ships (see `plans`).")]) -> None:
    """A plan that ships as YAML: a start for one's own."""
    from bench.document import nearest
    from bench.plan import shipped
    from nettune import files
    from results.errors import WrongInput

    known = shipped()
    if name not in known:
        hint = nearest(name, known) or f"plans that ship: {', '.join(known)}"
        raise WrongInput(f"no plan {name!r} ships with nettune", hint=hint)
    files.print_out(known[name].read_text(encoding="utf-8"))
