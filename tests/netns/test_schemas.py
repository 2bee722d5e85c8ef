"""What a real run writes is what the published schemas say."""

import csv
import io
import json
from pathlib import Path

import jsonschema
import yaml

import nettune
from nettune import schemas
from tests.netns.nettune_command import nettune as program
from tests.netns.nettune_command import plan_file, shown


def test_a_real_runs_plan_profile_and_show_are_valid(state: Path, tmp_path: Path) -> None:
    """Two blocks on a real path; then its numbers as CSV and as a frame."""
    plan = plan_file(tmp_path)
    done = program("run", plan, "--blocks", "2", "--seed", "1", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    written = {
        "plan": yaml.safe_load(Path(plan).read_text(encoding="utf-8")),
        "profile": yaml.safe_load((tmp_path / "out" / "profile.yaml").read_text(encoding="utf-8")),
        "show": json.loads((tmp_path / "out" / "show.json").read_text(encoding="utf-8")),
    }
    for name, document in written.items():
        schema = json.loads(schemas.text(name))
        problems = [str(each.message) for each in jsonschema.Draft202012Validator(schema).iter_errors(document)]

        assert problems == [], name
    rows = list(csv.DictReader(io.StringIO(program("export").stdout, newline="")))
    table = nettune.frame("last", store=str(state / "nettune.db"))

    assert written["show"] == shown()
    assert len({row["trial"] for row in rows}) == 2 * 3
    assert [float(row["value"]) for row in rows] == table["value"].tolist()
    assert set(table.loc[table["metric"] == "rtt_p50", "arm"]) == {"current", "current-again", "mtu-1300"}
