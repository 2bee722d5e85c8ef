"""`nettune apply`, and what follows it: confirm, rollback, verify, history."""

from typing import Annotated

import typer

from nettune.places import places
from nettune.say import Screen

JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
HostArgument = Annotated[str, typer.Argument(help="local, ssh://root@pve1, or ssh+sudo://admin@pve1.", metavar="HOST")]


def apply(
    profile: Annotated[str, typer.Argument(help="A profile's name (see `profile list`) or a file.", metavar="PROFILE")],
    *,
    host: Annotated[
        list[str],
        typer.Option(help="local, ssh://root@pve1, ssh+sudo://admin@pve1; one after the other.", metavar="HOST"),
    ],
    device: Annotated[list[str] | None, typer.Option(help="A device of the hosts; their NICs when not given.")] = None,
    vm: Annotated[
        list[int] | None, typer.Option(min=100, help="A VM on the hosts, whose NICs take the profile's vm- settings.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; change nothing.")] = False,
    confirm_within: Annotated[
        int, typer.Option(min=5, max=3600, help="Seconds after which a host takes it back unconfirmed.")
    ] = 120,
    hold: Annotated[bool, typer.Option("--hold", help="Leave confirming to `nettune confirm`.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            help="May ride on a changed device: ssh, default-route, corosync, storage, migration, guests.",
            metavar="ROLE",
        ),
    ] = None,
    disruption: Annotated[str, typer.Option(help="The greatest that is allowed, d0 to d5.", metavar="CLASS")] = "d2",
    unfit: Annotated[bool, typer.Option("--unfit", help="Though the profile is not for such a host.")] = False,
    persist: Annotated[
        bool, typer.Option("--persist/--runtime-only", help="Keep it over boots, or until the next one.")
    ] = False,
    probation: Annotated[
        int, typer.Option(min=10, max=3600, help="Seconds of the first boot in which the host must be well.")
    ] = 120,
    cluster_well: Annotated[
        bool, typer.Option("--cluster-well", help="Only while its cluster lacks no vote and HA has nothing to mend.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Put a profile on machines that stand, until they boot, or for good (--persist).

    Each host arms a timer that puts it back, before the first write. What is written is read back, verified there and
    by a new connection, and then confirmed. Anything else, and the host is as it was.
    """
    from nettune import applying
    from nettune.tune_words import disruption as class_of
    from tuning import shelf

    screen, loaded = Screen(quiet=as_json), shelf.found(profile, places().profiles)
    wish = applying.Wish(tuple(device or ()), confirm_within, hold, _roles(allow), class_of(disruption), unfit,
                         dry_run, persist, probation, tuple(dict.fromkeys(map(str, vm or ()))), profile,
                         cluster_well)  # fmt: skip
    done: list[dict[str, object]] = []
    try:
        applying.applied(screen, loaded, host, wish, done)
    finally:  # what was done is told also where a later host failed
        if as_json and done:
            screen.document(done)


def _roles(allow: list[str] | None) -> frozenset[str]:
    """The words of --allow. Raises WrongInput for one that is no role."""
    from results.errors import WrongInput
    from tuning.applying.planning import ROLES

    for role in allow or ():
        if role not in ROLES:
            raise WrongInput(f"--allow {role!r} is no role", hint=", ".join(ROLES))
    return frozenset(allow or ())


def confirm(
    host: HostArgument,
    *,
    persist: Annotated[bool, typer.Option("--persist/--runtime-only", help="Keep it over boots too.")] = False,
) -> None:
    """A change that waits for it stays: its timer is taken away."""
    from nettune import changes

    changes.confirmed(Screen(), host, persist=persist)


def rollback(
    host: HostArgument,
    *,
    to: Annotated[str, typer.Option(help="The change; the last that stands when not given.", metavar="CHANGE")] = "",
    anyway: Annotated[bool, typer.Option("--anyway", help="Though somebody set other values since.")] = False,
    allow: Annotated[
        list[str] | None, typer.Option(help="A role that may ride on a device whose NIC it resets.", metavar="ROLE")
    ] = None,
    unclaimed: Annotated[
        bool, typer.Option("--unclaimed", help="Though another node of its cluster is changed, or without quorum.")
    ] = False,
) -> None:
    """Take a change back: everything that it moved is as it was before, or it says what is not.

    The host does it by a script of its own, to the end, also where the connection is lost.
    """
    from nettune import changes

    changes.taken_back(Screen(), host, to, _roles(allow), anyway=anyway, unclaimed=unclaimed)


def verify(
    host: HostArgument,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="For cron: say nothing where all stands.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What was applied and no longer stands.

    Exits with 1 where a value is another, and names what may have moved it.
    """
    from nettune import changes

    screen = Screen(quiet=as_json)
    found = changes.verified(screen, host, watch=watch)
    if as_json:
        screen.document([{"change": each.applied.change_id, "fact": each.key, "wanted": each.wanted,
                          "actual": each.actual, "cause": each.cause} for each in found])  # fmt: skip
    if found:
        raise typer.Exit(1)


def history(host: HostArgument, as_json: JsonOption = False) -> None:
    """Every change that a host knows of, and how each ended."""
    from nettune import changes

    screen = Screen(quiet=as_json)
    known = changes.history(screen, host)
    if as_json:
        screen.document([{"change": each.change_id, "at": each.at, "profile": each.profile, "state": each.state,
                          "unreadable": each.unreadable or None, "devices": list(each.devices),
                          "settings": [list(one) for one in each.settings], "overwrote": dict(each.overwrote),
                          "moved": {key: list(values) for key, values in each.moved.items()}}
                         for each in known])  # fmt: skip
