"""Profile: the file of recommended settings, each with reason and evidence. YAML that a human may edit."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from bench import document
from bench.document import Node
from results.errors import WrongInput
from results.records import Run
from tuning.knobs.table import check
from tuning.recommend import Advice

FORMAT = 1  # 1 (2026-11-23): first
_TOP = ("format", "name", "status", "sentence", "run", "confirms", "measured_on", "transfer", "guards_not_resolved",
        "next_command", "settings", "rejected")  # fmt: skip
_SETTING = ("setting", "value", "target", "was", "status", "reason", "effect_pct", "interval_pct", "blocks", "run",
            "topology", "metric", "treatment", "risk", "do", "undo")  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProfileSetting:
    """One setting to apply."""

    setting: str
    value: str
    target: str


@dataclass(frozen=True, slots=True)
class Profile:
    """What a profile file asks for."""

    name: str
    status: str
    settings: tuple[ProfileSetting, ...]


def text(run: Run, advice: Advice) -> str:
    """The profile of a run's advice as YAML."""
    rows = []
    for each in advice.recommendations:
        evidence = asdict(each.evidence)
        row = {
            "setting": each.setting,
            "value": each.value,
            "target": each.target,
            "was": each.was,
            "status": advice.status,
            "reason": each.reason,
            "effect_pct": round(each.evidence.effect_pct, 2),
            "interval_pct": [round(each.evidence.ci_low_pct, 2), round(each.evidence.ci_high_pct, 2)],
            "blocks": evidence["blocks"],
            "run": evidence["run_id"],
            "topology": evidence["topology"],
            "metric": evidence["metric"],
            "treatment": evidence["treatment"],
            "risk": each.risk,
            "do": each.do,
            "undo": each.undo,
        }
        rows.append(row)
    body: Mapping[str, object] = {
        "format": FORMAT,
        "name": f"{run.plan_name}-{run.run_id}",
        "status": advice.status,
        "sentence": advice.sentence,
        "run": run.run_id,
        "confirms": run.confirms,
        "measured_on": {key: run.machine.get(key, "") for key in ("kernel", "cpuinfo", "os", "virtualisation")},
        "transfer": list(run.notes),
        "guards_not_resolved": list(advice.unresolved),
        "next_command": advice.next_command,
        "settings": rows,
        "rejected": [{"what": what, "why": why} for what, why in advice.rejected],
    }
    head = "# Written by nettune. Applied in the order MTU, offloads, sysctls; `undo` is each one's way back.\n"
    return head + yaml.safe_dump(dict(body), sort_keys=False, allow_unicode=True, width=100)


def load(path: Path) -> Profile:
    """The profile in a file. Raises WrongInput naming file, line and key."""
    try:
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInput(f"no profile {path}: {getattr(error, 'strerror', None) or 'it is no text'}") from error
    return parse(document.read(content, path.name))


def parse(root: Node) -> Profile:
    """The profile in a document."""
    top = root.mapping(_TOP)
    for key in ("format", "name", "status", "settings"):
        if key not in top:
            root.wrong(f"the profile has no {key!r}")
    if top["format"].integer(1, 1_000_000, "format") > FORMAT:
        top["format"].wrong("this profile is of a newer format", hint="update nettune")
    settings = []
    for item in top["settings"].items():
        members = item.mapping(_SETTING)
        for key in ("setting", "value", "target"):
            if key not in members:
                item.wrong(f"a setting needs {key!r}")
        word, value = members["setting"].text(), members["value"].setting()
        problem, hint = check(word, value)
        if problem:
            members["value"].wrong(problem, hint=hint)
        settings.append(ProfileSetting(word, value, members["target"].choice(("guest", "node", "path"))))
    status = top["status"].choice(("nothing", "candidate", "confirmed"))
    return Profile(top["name"].text(), status, tuple(settings))
