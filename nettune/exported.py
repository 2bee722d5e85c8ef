"""Profiles as files of other tools: what `nettune profile export` writes, and where."""

import sys
from collections.abc import Mapping
from pathlib import Path

from bench.hosts.opened import opened
from nettune import files
from nettune.places import places
from results.errors import WrongInput
from tuning import shelf
from tuning.exports import forms


def profile(
    name: str, form: str, devices: tuple[str, ...], interfaces: Path | None, output: Path | None, host: str = ""
) -> None:
    """Write it. Raises WrongInput for words that do not go together, NotAble where it cannot be written.

    With a host as `opened`, which is asked what the file meets there.
    """
    loaded = shelf.found(name, places().profiles)
    if host:
        if form != "sysctl.d":
            raise WrongInput("--host goes with --format sysctl.d")
        with opened(host) as there:
            text, met = forms.for_host(loaded, there)
        for each in met.not_over:
            sys.stderr.write(f"warning: on {met.host} it has not the last word: {each}\n")
        _put({met.name: text}, output)
        return
    if interfaces is not None:
        if form != "ifupdown2":
            raise WrongInput("--interfaces goes with --format ifupdown2")
        _put({"interfaces": forms.interfaces(loaded, devices, _text(interfaces))}, output)
        return
    made = forms.made(loaded, form, devices)
    if warning := forms.FORMS[form].warning:
        sys.stderr.write(f"warning: {warning}\n")
    _put(made, output)


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:  # its line ends as they are
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInput(f"cannot read {path}: {getattr(error, 'strerror', None) or 'it is no text'}") from error


def _put(made: Mapping[str, str], output: Path | None) -> None:
    if len(made) == 1 and (output is None or not output.is_dir()):
        (text,) = made.values()
        if output is None:
            files.print_out(text)
        else:
            files.write(output, text)
        return
    if output is None:
        raise WrongInput(f"it is {len(made)} files: {', '.join(made)}", hint="--output FOLDER")
    for path, text in made.items():
        files.write(output / path, text)
