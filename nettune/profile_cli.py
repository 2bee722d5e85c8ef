"""The verbs of `nettune profile`."""

from pathlib import Path
from typing import Annotated

import typer

from nettune.places import places
from nettune.say import Screen

profile_app = typer.Typer(
    help="Profiles: those that ship, anchors that others published, and your own.", no_args_is_help=True
)
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
NameArgument = Annotated[str, typer.Argument(help="A profile's name (see `profile list`) or a file.", metavar="NAME")]


@profile_app.command(name="list")
def list_profiles(as_json: JsonOption = False) -> None:
    """The profiles that go by a name.

    One of your own that cannot be read says why.
    """
    from nettune import profiles_said

    screen, own = Screen(quiet=as_json), places().profiles
    rows = profiles_said.listed(own)
    profiles_said.table(screen, rows)
    screen.line(f"your own: {own}/NAME.yaml", "dim")
    if as_json:
        screen.document([dict(each) for each in rows])


@profile_app.command()
def show(
    name: NameArgument,
    *,
    yaml: Annotated[bool, typer.Option("--yaml", help="The file as it is: a start for one's own.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What a profile sets, and why.

    Also by whose word, whose traffic feels it, and which hosts it is for.
    """
    from nettune import files, profiles_said
    from tuning import profile, profile_text, shelf

    screen, path = Screen(quiet=as_json), shelf.path_of(name, places().profiles)
    loaded = profile.load(path)
    if yaml:
        files.print_out(path.read_text(encoding="utf-8"))
        return
    profiles_said.whole(screen, loaded)
    if as_json:
        screen.document(profile_text.as_mapping(loaded))


@profile_app.command()
def export(
    name: NameArgument,
    *,
    form: Annotated[
        str,
        typer.Option("--format", help="sysctl.d, shell, unit, ifupdown2, tuned, link or ansible.", metavar="FORMAT"),
    ] = "sysctl.d",
    device: Annotated[list[str] | None, typer.Option(help="A device that it is for, once for each.")] = None,
    interfaces: Annotated[
        Path | None, typer.Option(help="ifupdown2: print this file with the profile's options in it.")
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="sysctl.d: local, or ssh://root@pve1; the file says what runs there, and whose lines it overrides.",
            metavar="HOST",
        ),
    ] = "",
    output: Annotated[
        Path | None, typer.Option(help="A file, or a folder for several; standard output when not given.")
    ] = None,
) -> None:
    """A profile as another tool's file, to keep it over a boot.

    What that tool cannot keep stands in it as comments. Changes nothing on a host.
    """
    from nettune import exported

    exported.profile(name, form, tuple(device or ()), interfaces, output, host)


@profile_app.command()
def check(
    name: NameArgument,
    *,
    host: Annotated[str, typer.Option(help="local, or ssh://root@pve1.", metavar="HOST")] = "local",
    device: Annotated[list[str] | None, typer.Option(help="A device of the host; its NICs when not given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """How a profile stands on a host.

    Does it fit, what is not there, already so, or lowers a maximum? Changes nothing there.
    Exits with 1 where a rule does not fit, or where the host has none of the settings.
    """
    from nettune import asked, profiles_said
    from tuning import fits, shelf, standings

    screen, loaded = Screen(quiet=as_json), shelf.found(name, places().profiles)
    told = asked.reading(host, device or ())
    answers = fits.answers(loaded.fits, told.facts, told.devices)
    found = standings.standings(loaded, standings.of_host(told.host, told.facts, told.devices))
    profiles_said.checked(screen, loaded, told, answers, found)
    if as_json:
        screen.document(profiles_said.check_document(loaded, told, answers, found))
    if not profiles_said.holds(answers, found):
        raise typer.Exit(1)


@profile_app.command()
def diff(
    one: Annotated[str, typer.Argument(help="A profile's name or file.", metavar="A")],
    other: Annotated[str, typer.Argument(help="Another one; or a host: local, ssh://root@pve1.", metavar="B")],
    *,
    device: Annotated[list[str] | None, typer.Option(help="A device of that host; its NICs when not given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Where two profiles differ, or a profile and a host.

    Exits with 1 where they do.
    """
    from bench.hosts.opened import is_host
    from nettune import asked, profiles_said
    from results.errors import WrongInput
    from tuning import differing, shelf

    screen, own = Screen(quiet=as_json), places().profiles
    first = shelf.found(one, own)
    if is_host(other):
        told = asked.reading(other, device or ())
        rows = differing.from_host(first, told)
    elif device:
        raise WrongInput("--device is of a host, and B is a profile", hint="leave it out")
    else:
        rows = differing.between(first, shelf.found(other, own, or_else="; a host is local, or ssh://root@pve1"))
    profiles_said.differences(screen, (first.name, Path(other).stem if not is_host(other) else other), rows)
    if as_json:
        screen.document([each.as_mapping() for each in rows])
    if rows:
        raise typer.Exit(1)
