"""The verbs of `nettune image`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nettune.places import places
from nettune.say import Screen
from results.errors import WrongInput

if TYPE_CHECKING:
    from bench.images.cache import Image

image_app = typer.Typer(help="Images: what the guests of a lab boot from.", no_args_is_help=True)
JsonOption = Annotated[bool, typer.Option("--json", help="JSON on standard output.")]


@image_app.command()
def build(
    disk: Annotated[bool, typer.Option("--disk", help="A qcow2 disk for Proxmox VE, with cloud-init.")] = False,
    nics: Annotated[
        bool, typer.Option("--nics", help="With Debian's whole kernel, for e1000, e1000e, rtl8139.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """The image of this version of nettune, from Debian's packages; found where it was built before."""
    from bench.hosts.local import Local
    from bench.images import cache
    from bench.images.disk import DISK_KIND
    from bench.images.squash import LAB_KIND, NICS_KIND

    if disk and nics:
        raise WrongInput("--disk and --nics are two images", hint="one after the other; a disk has the cloud kernel")
    kind = DISK_KIND if disk else NICS_KIND if nics else LAB_KIND
    screen, folder = Screen(quiet=as_json), places().cache

    def say(step: str) -> None:
        screen.err.print(step, markup=False, soft_wrap=True)

    if cache.found(folder, kind) is None:
        say(f"{kind.takes} in {folder}")
    image = cache.built(folder, Local(), say, kind)
    place = image.disk if disk else image.folder
    screen.line(f"{place}: Linux {image.release}, {len(image.packages)} packages, content {image.digest[:12]}")
    if as_json:
        screen.document(_document(image))


@image_app.command(name="list")
def list_images(as_json: JsonOption = False) -> None:
    """What the cache holds; an image that is broken or of another version is never used, and says so."""
    from bench.images import cache

    screen = Screen(quiet=as_json)
    listed = cache.listed(places().cache)
    columns = ("folder", "for", "kernel", "#MB", "content", "not used because")
    rows = [
        (folder.name, image.kind, image.release, f"{image.size_bytes / 1e6:.0f}", image.digest[:12], "")
        if image is not None
        else (folder.name, "", "", "", "", problem)
        for folder, image, problem in listed
    ]
    if rows:
        screen.table(f"images in {places().cache}", columns, rows)
    else:
        screen.line(f"no images in {places().cache}")
    if as_json:
        screen.document([_document(image) if image else _refused(folder, why) for folder, image, why in listed])


@image_app.command()
def remove(as_json: JsonOption = False) -> None:
    """Remove all images, and what builds that were killed left; the next lab of guests builds again."""
    from bench.images import cache

    screen = Screen(quiet=as_json)
    removed = cache.remove(places().cache, lambda step: screen.err.print(step, markup=False, soft_wrap=True))
    for folder in removed:
        screen.line(f"removed {folder}")
    if not removed:
        screen.line("nothing to remove")
    if as_json:
        screen.document([str(folder) for folder in removed])


def _document(image: "Image") -> dict[str, object]:
    return {
        "folder": str(image.folder),
        "usable": True,
        "kind": image.kind,
        **{name.partition(".")[0]: str(path) for name, path in image.files.items()},
        "release": image.release,
        "digest": image.digest,
        "size_bytes": image.size_bytes,
        "packages": dict(image.packages),
    }


def _refused(folder: Path, problem: str) -> dict[str, object]:
    return {"folder": str(folder), "usable": False, "problem": problem}
