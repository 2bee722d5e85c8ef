"""Profiles in words: lists, one whole, how one stands on a host, where two differ. Computes nothing."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nettune.say import Screen
from results.errors import WrongInput
from tuning import bearing, profile, shelf
from tuning.differing import Row
from tuning.fits import Answer, answers
from tuning.knobs.entry import DISRUPTIONS, NO_EFFECT_ON_GUESTS
from tuning.profile import NOTHING_STATED, Profile, ProfileSetting
from tuning.standings import Reading, Standing

_MARKS = {"fits": "[green]✔ fits[/green]", "does not fit": "[red]✘ does not fit[/red]",
          "cannot be told": "[yellow]? cannot be told[/yellow]"}  # fmt: skip
_WHERE = {"guest": "at the path's ends (guest)", "node": "between them (node)", "path": "all along the path (path)"}
_ACTS = {"own-sockets": "sockets that end on the host", "all-traffic": "all that passes"}


def listed(own: Path) -> list[Mapping[str, object]]:
    """One row per profile; what cannot be read has its problem in place of the rest."""
    rows: list[Mapping[str, object]] = []
    for kind, path in shelf.listed(own):
        row = {"name": path.stem, "kind": kind, "file": str(path)}
        try:
            found = profile.load(path)
        except WrongInput as error:
            rows.append({**row, "problem": str(error)})
            continue
        rows.append({**row, "status": found.status, "label": found.label, "settings": len(found.settings),
                     "fits": _rules(found), "about": found.about})  # fmt: skip
    return rows


def table(screen: Screen, rows: Sequence[Mapping[str, object]]) -> None:
    """The rows of `listed`."""
    shown = []
    for row in rows:
        fits = row.get("fits", ())
        words = ", ".join(str(each) for each in fits) if isinstance(fits, list) else ""
        about = str(row.get("problem") or str(row.get("about", "")).partition(". ")[0])
        shown.append((str(row["name"]), str(row["kind"]), str(row.get("status", "cannot be read")),
                      str(row.get("settings", "")), words or "any host", about))  # fmt: skip
    screen.table("", ("profile", "kind", "status", "#settings", "for", "about"), shown)
    if any(row.get("status") == "published" for row in rows):
        screen.line(profile.NOT_MEASURED, "bold")


def whole(screen: Screen, found: Profile) -> None:
    """One profile."""
    screen.line(f"{found.name}: {found.about or found.sentence}".rstrip(": "), "bold")
    screen.line(f"status:  {found.label}")
    _line(screen, "source", found.source)
    screen.line(f"for:     {', '.join(_rules(found)) or 'any host'}")
    _line(screen, "acts on", found.acts_on)
    if found.own_sockets:
        screen.line(f"         {', '.join(found.own_sockets)}: {NO_EFFECT_ON_GUESTS}")
    for each in found.settings:
        _setting(screen, found, each)
    for statement in found.not_settable:
        tail = "; ".join(filter(None, (statement.why, statement.source)))
        screen.line(f"not set by the profile: {statement.words}   # {tail}", "dim")
    for sentence in found.told:
        screen.line(f"told: {sentence}", "dim")
    for rejected in found.rejected:
        screen.line(f"rejected: {rejected.what}: {rejected.why}", "dim")
    _line(screen, "next", found.next_command)


def _setting(screen: Screen, of: Profile, each: ProfileSetting) -> None:
    screen.line(f"\n{each.setting} = {each.value}   {_WHERE[each.target]}", "bold")
    screen.line(f"  acts on {_ACTS[bearing.acts_on(each.setting)]}; {_reach(each)}")
    screen.line(f"  effect:  {_effect(each)}")
    for word, text in (
        ("when", each.trigger),
        ("because", each.reason),
        ("source", each.source or of.source),
        ("keep", each.persist or bearing.persist(each.setting, each.value)),
        ("risk", each.risk),
        ("undo", each.undo or "what stood there is put back"),
    ):
        if text:
            screen.line(f"  {word + ':':8} {text}")


def _reach(each: ProfileSetting) -> str:
    """How far it reaches and what it costs, as the file says or the catalogue knows."""
    scope, costs = each.scope or bearing.scope(each.setting), each.disruption or bearing.disruption(each.setting)
    words = [f"scope {scope}"] * bool(scope) + [f"{key}: {said}" for key, said in DISRUPTIONS.items() if key == costs]
    return "; ".join(words) or "what it costs is not in the catalogue of knobs"


def _effect(each: ProfileSetting) -> str:
    """Measured with its interval and n, or what the source states."""
    if each.effect_pct is None:
        return f"not measured; by its source: {each.stated_effect or NOTHING_STATED}"
    low, high = each.interval_pct or (each.effect_pct, each.effect_pct)
    return f"{each.effect_pct:+.1f} % [{low:+.1f}, {high:+.1f}], {each.blocks} blocks, run {each.run}"


def checked(screen: Screen, of: Profile, host: Reading, said: Sequence[Answer], found: Sequence[Standing]) -> None:
    """How a profile stands on a host."""
    screen.line(f"{of.name} ({of.label}) on {host.host}, devices {', '.join(host.devices) or 'none'}", "bold")
    if said:
        screen.table("is it for this host", ("rule", "answer", "why"),
                     [(each.rule, _MARKS[each.word], each.why) for each in said])  # fmt: skip
    rows = [
        (each.setting.setting, _now(each), each.setting.value, each.word, each.why if each.word != "already so" else "")
        for each in found
    ]
    if rows:
        screen.table("its settings there", ("setting", "now", "profile", "so", "why"), rows)
    changing = sum(each.word == "changes" for each in found)
    screen.line(
        f"{changing} of {len(found)} settings would change something: `nettune run --profile {of.name}` measures it"
        if changing
        else "nothing of it would change anything here"
    )


def check_document(
    of: Profile, host: Reading, said: Sequence[Answer], found: Sequence[Standing]
) -> Mapping[str, object]:
    """The same for machines."""
    return {
        "profile": of.name,
        "status": of.status,
        "host": host.host,
        "devices": list(host.devices),
        "fits": [{"rule": each.rule, "answer": each.word, "why": each.why} for each in said],
        "settings": [
            {
                "setting": each.setting.setting,
                "target": each.setting.target,
                "value": each.setting.value,
                "now": dict(each.now),
                "standing": each.word,
                "why": each.why,
            }
            for each in found
        ],
        "holds": holds(said, found),
    }


def holds(said: Sequence[Answer], found: Sequence[Standing]) -> bool:
    """Whether no rule fails, and the host has one of the settings at least, where there are any."""
    there = any(each.word != "not there" for each in found) or not found
    return there and all(each.word != "does not fit" for each in said)


def differences(screen: Screen, names: tuple[str, str], rows: Sequence[Row]) -> None:
    """Two profiles, or a profile and a host, side by side."""
    if not rows:
        screen.line(f"{names[0]} and {names[1]} do not differ")
        return
    shown = [(each.setting, each.target, each.one or "–", each.other or "–") for each in rows]
    screen.table("", ("setting", "target", *names), shown)


def _rules(of: Profile) -> list[str]:
    return [each.rule for each in answers(of.fits, {}, ())]


def _now(each: Standing) -> str:
    return " | ".join(sorted(set(each.now.values()))) or "–"


def _line(screen: Screen, word: str, text: str) -> None:
    if text:
        screen.line(f"{word + ':':8} {text}")
