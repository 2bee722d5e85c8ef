"""Every plan that ships, whole: long, and resumable. What is complete in the store is not measured again.

python -m benchmarks plans            # or: python -m benchmarks.plans [--store FILE] [NAME …]
"""

import argparse
import json
import sys
from pathlib import Path

from bench.hosts.command import Command
from bench.hosts.local import Local
from bench.plan import shipped

LABEL = "make-bench"
_LONGEST_S = 6 * 3600.0


def nettune(*words: str) -> tuple[int, str, str]:
    """Exit code and both outputs of the program."""
    done = Local().run(Command((sys.executable, "-m", "nettune", *words), deadline_s=_LONGEST_S))
    return done.returncode, done.stdout, done.stderr


def standing(store: str) -> dict[str, tuple[str, str]]:
    """Plan -> (run, status) of this benchmark's newest run of it."""
    code, out, said = nettune("runs", "--store", store, "--json")
    if code:
        raise SystemExit(said)
    newest: dict[str, tuple[str, str]] = {}
    for row in json.loads(out):
        if row.get("label") == LABEL:
            newest.setdefault(row["plan"], (row["run_id"], row["status"]))
    return newest


def main() -> None:
    """Run or go on with each plan; print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="plans; all that ship when not given")
    parser.add_argument("--store", default=str(Path(__file__).resolve().parent.parent / "demo" / "bench.db"))
    parser.add_argument("--json", type=Path, help="append the verdicts here, one JSON line per plan")
    chosen = parser.parse_args()
    there = standing(chosen.store)
    for name in chosen.names or shipped():
        run_id, status = there.get(name, ("", ""))
        if status != "complete":
            words = ("--resume", run_id) if run_id else (name, "--label", LABEL)
            code, _, said = nettune("run", *words, "--store", chosen.store)
            if code:
                print(f"\n== {name}: {said.strip()}", flush=True)
                continue
            run_id = standing(chosen.store)[name][0]
        print(f"\n== {name}", flush=True)
        print(nettune("show", run_id, "--store", chosen.store)[1], flush=True)
        if chosen.json:
            with chosen.json.open("a") as out:
                document = json.loads(nettune("show", run_id, "--store", chosen.store, "--json")[1])
                out.write(json.dumps({"benchmark": f"plan {name}", **document}) + "\n")


if __name__ == "__main__":
    main()
