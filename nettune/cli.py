"""The verbs. Each parses its options, calls the wiring, and shows what came of it; `--json` for machines."""

from pathlib import Path
from typing import Annotated

import typer

from nettune import apply_cli, data_cli
from nettune.capacity_cli import capacity
from nettune.gate_cli import compare, trend
from nettune.image_cli import image_app
from nettune.knobs_cli import knobs_app
from nettune.lab_cli import lab_app
from nettune.offload_cli import offload_app
from nettune.places import places
from nettune.profile_cli import profile_app
from nettune.pve_cli import pve_app
from nettune.say import Screen, duration
from nettune.tune_cli import tune

app = typer.Typer(
    help="Measure a network path, judge what settings change it, recommend what holds. Every change is undone.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(lab_app, name="lab")
app.add_typer(image_app, name="image")
app.add_typer(knobs_app, name="knobs")
app.add_typer(data_cli.plan_app, name="plan")
app.add_typer(profile_app, name="profile")
app.add_typer(pve_app, name="pve")
app.add_typer(offload_app, name="offload")

StoreOption = Annotated[str, typer.Option("--store", help="Results: a file or database URL (or NETTUNE_STORE).")]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]
RunArgument = Annotated[str, typer.Argument(help="A run's id, its beginning, or 'last'.")]
OutFile = Annotated[Path, typer.Option("-o", "--output", help="The file to write.")]


def _version(asked: bool) -> None:
    if asked:
        from bench.hosts.local import Local
        from nettune.wiring import revision

        typer.echo(f"nettune {revision(Local())}")
        raise typer.Exit


@app.callback()
def first(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Which nettune this is.")
    ] = False,
) -> None:
    """What stands before the verb."""
    del version


@app.command()
def run(
    plan: Annotated[str, typer.Argument(help="A plan that ships (see `plans`) or a YAML file.")] = "quick",
    *,
    sets: Annotated[list[str] | None, typer.Option("--set", help="key=value of the plan, e.g. tcp.streams=4.")] = None,
    blocks: Annotated[int | None, typer.Option(min=2, max=1000, help="Blocks in place of the plan's.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of order and ports; dealt when not given.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done; do nothing.")] = False,
    resume: Annotated[str, typer.Option(help="Go on with an interrupted run.", metavar="RUN")] = "",
    confirm: Annotated[str, typer.Option(help="Measure a run's candidates again, all together.", metavar="RUN")] = "",
    label: Annotated[str, typer.Option(help="A name by which `compare` and `trend` gather runs.", metavar="NAME")] = "",
    profile: Annotated[list[str] | None, typer.Option(help="A profile as one more arm.", metavar="NAME|FILE")] = None,
    shared_link: Annotated[bool, typer.Option("--shared-link", help="Load may pass a link that others use.")] = False,
    max_share: Annotated[str, typer.Option(help="Of that link, at most; 30% when not given.", metavar="PERCENT")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for report.html, profile.yaml, show.json.")] = None,
    store: StoreOption = "",
    as_json: JsonOption = False,
) -> None:
    """Measure a plan: stand its lab, hold every treatment in seeded blocks, judge, recommend."""
    from nettune import unprivileged

    screen, where = Screen(quiet=as_json), places(store)
    if not (dry_run or unprivileged.elsewhere(plan)):
        unprivileged.enter(where)  # before what takes its time to import: an ordinary user's program starts twice
    from nettune import outputs, preview, seeds, shared, wiring
    from nettune.watch import Watch
    from results.store import opened

    pct, seed = shared.read(given=shared_link, most=max_share), seeds.dealt() if seed is None else seed
    # A dry run of a new plan reads no store, so it makes none.
    with opened(":memory:" if dry_run and not (resume or confirm) else where.store) as kept:
        order = preview.order(
            kept,
            plan,
            sets or (),
            resume=resume,
            confirm=confirm,
            blocks=blocks,
            seed=seed,
            label=label,
            share_pct=pct,
            profiles=profile or (),
        )
        preview.estimate(screen, order)
        if dry_run:
            preview.dry_run(screen, order)
            return
        unprivileged.announce(screen)
        watch = Watch(screen, order.plan.design.block_s)
        try:
            run_id = wiring.carry_out(order, where, kept, watch, say=watch.note)
        finally:
            watch.close()
        found = outputs.judged(kept, run_id)
        outputs.closing(screen, kept, found)
        if out is not None:
            screen.line("  ".join(str(path) for path in outputs.write_all(kept, run_id, out)))
        if as_json:
            screen.document(outputs.document(kept, run_id))
    if not outputs.held(found):
        raise typer.Exit(1)


@app.command()
def plans(as_json: JsonOption = False) -> None:
    """The plans that ship."""
    from bench.plan import shipped
    from nettune import contents
    from nettune.wiring import load_plan

    screen = Screen(quiet=as_json)
    listed = [load_plan(name, (), sited=False) for name in shipped()]
    whole = {each.name: each.design.block_s * each.blocks * len(each.topologies) for each in listed}
    rows = [
        (
            each.name,
            contents.several(each.design.topologies),
            str(len(each.treatments)),
            duration(whole[each.name]),
            each.about,
        )
        for each in listed
    ]
    screen.table("", ("plan", "topologies", "#treatments", "#about", "what it answers"), rows)
    if as_json:
        screen.document(
            [
                {
                    "name": each.name,
                    "about": each.about,
                    "topologies": list(each.design.topologies),
                    "treatments": list(each.treatments),
                    "blocks": each.blocks,
                    "estimate_s": round(whole[each.name], 1),
                }
                for each in listed
            ]
        )


@app.command()
def runs(
    label: Annotated[str, typer.Option(help="Only runs with this label.", metavar="NAME")] = "",
    plan: Annotated[str, typer.Option(help="Only runs of the plan of this name.", metavar="NAME")] = "",
    last: Annotated[int, typer.Option(min=1, help="How many to show, the newest.", metavar="N")] = 100,
    store: StoreOption = "",
    as_json: JsonOption = False,
) -> None:
    """The newest runs first (as JSON all of them); one whose process is gone without a word reads "killed"."""
    from nettune.listing import standing
    from results.store import opened
    from results.units import iso

    screen, where = Screen(quiet=as_json), places(store)
    with opened(where.store) as kept:
        listed = standing(kept.listed(plan=plan, label=label), where)
    rows = [(r.run_id, r.plan_name, r.status, iso(r.started_at) or "", r.label, r.confirms) for r in listed]
    screen.table("", ("run", "plan", "status", "started", "label", "confirms"), rows[:last])
    if len(rows) > last:
        screen.line(f"{len(rows) - last} older runs: --last {len(rows)}", "dim")
    if as_json:
        keys = ("run_id", "plan", "status", "started_at", "label", "confirms")
        screen.document([dict(zip(keys, row, strict=True)) for row in rows])


@app.command()
def show(run: RunArgument = "last", store: StoreOption = "", as_json: JsonOption = False) -> None:
    """One run: verdicts, noise, skipped cells, trials that gave no number."""
    from nettune import outputs
    from results.store import opened

    screen = Screen(quiet=as_json)
    with opened(places(store).store) as kept:
        if as_json:
            screen.document(outputs.document(kept, run))
            return
        found = outputs.judged(kept, run)
        outputs.closing(screen, kept, found)
        outputs.details(screen, *found)


@app.command()
def report(
    run: RunArgument = "last",
    output: OutFile = Path("report.html"),
    store: StoreOption = "",
    as_json: JsonOption = False,
) -> None:
    """The report of a run as one HTML file."""
    from nettune import outputs
    from results.store import opened

    screen = Screen(quiet=as_json)
    with opened(places(store).store) as kept:
        outputs.write(output, outputs.page(kept, run))
        screen.line(str(output))
        if as_json:
            screen.document({"run_id": kept.run(run).run_id, "report": str(output)})


@app.command()
def recommend(
    run: RunArgument = "last",
    output: OutFile = Path("profile.yaml"),
    offload: Annotated[Path | None, typer.Option(help="A validation: nothing that it found at fault.")] = None,
    store: StoreOption = "",
    as_json: JsonOption = False,
) -> None:
    """The profile that a run's verdicts support, or that nothing is worth changing."""
    from nettune import outputs
    from results.store import opened

    screen = Screen(quiet=as_json)
    weigh = None
    if offload:
        from nettune import offload_said

        weigh = offload_said.weigher(offload)
    with opened(places(store).store) as kept:
        advice = outputs.write_profile(kept, run, output, weigh)
        screen.line(advice.sentence, "bold")
        for each in advice.recommendations:
            screen.line(f"  {each.do}   # {each.reason}")
        if advice.next_command:
            screen.line(f"  {advice.next_command}")
        screen.line(str(output))
        if as_json:
            screen.document({"run_id": kept.run(run).run_id, "profile": str(output), **advice.as_mapping()})


app.command()(tune)
app.command()(capacity)
for verb in (apply_cli.apply, apply_cli.confirm, apply_cli.rollback, apply_cli.verify, apply_cli.history):
    app.command()(verb)
app.command()(compare)
app.command()(trend)
app.command()(data_cli.export)
app.command()(data_cli.schema)
