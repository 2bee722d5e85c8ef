"""`nettune tune wan-lossy`, whole: guests boot, 160 trials are made, and the answer must have bbr in it, confirmed.

About half an hour, most of it traffic between two emulated guests; so it is run when it is named alone. What must hold:
the answer is confirmed on fresh blocks, bbr is among its settings, and every published profile that raced beside it is
told to be beaten, tied with, or better. Printed are the time, the gain and its interval.
"""

import argparse
import json
import os
import subprocess  # noqa: TID251 - times a whole program from outside
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

CONTROL = ("net.ipv4.tcp_congestion_control", "bbr")
_WORDS = ("beats", "ties with", "loses to")


def missing(found: dict[str, Any]) -> list[str]:  # Any: JSON
    """What an answer lacks, in words; [] where it is as it should be."""
    lacks = [] if found["status"] == "confirmed" else [f"status {found['status']}, not confirmed"]
    first = next((pick["settings"] for pick in found["picks"]), ())
    if CONTROL not in {(each["setting"], each["value"]) for each in first}:
        lacks.append("no bbr in the first pick")
    raced = {arm for stage in found["stages"] if stage["purpose"] == "race" for arm in stage["arms"]}
    untold = [
        anchor
        for anchor in sorted(raced & set(found["explored"]["anchors"]))
        if not any(f" {word} {anchor}: " in said for said in found["said"] for word in _WORDS)
    ]
    return [*lacks, *(f"nothing is said of {anchor}" for anchor in untold)]


def main() -> None:
    """One search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", default="7")
    parser.add_argument("--budget", default="", help="a time, in place of the default number of trials")
    chosen = parser.parse_args()
    budget = ["--budget", chosen.budget] if chosen.budget else []
    with tempfile.TemporaryDirectory() as folder:
        words = ["tune", "wan-lossy", "--seed", chosen.seed, *budget, "--out", f"{folder}/tuned.yaml", "--json"]
        started = time.monotonic()
        env = {**os.environ, "NETTUNE_STATE": f"{folder}/state"}
        program = [sys.executable, "-m", "nettune", *words]
        with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env=env) as child:
            try:
                told, _ = child.communicate()
            except KeyboardInterrupt:  # the search has it too, and needs its folder until its guests are gone
                child.wait()
                raise
        took_s = time.monotonic() - started
        if child.returncode != 0:
            raise SystemExit(f"nettune {' '.join(words)} exited with {child.returncode}")
        found = json.loads(told)
        written = sorted(each.name for each in Path(folder).glob("*.yaml"))
    print(f"tune wan-lossy, seed {chosen.seed}: {took_s / 60:.1f} min, {found['trials']} trials, {', '.join(written)}")
    for pick in found["picks"]:
        low, high = pick["interval_pct"]
        settings = ", ".join(f"{each['setting']} {each['value']}" for each in pick["settings"])
        print(f"  {', '.join(pick['names'])}: {pick['metric']} {pick['gain_pct']:+.0f} % [{low:+.0f}, {high:+.0f}], "
              f"{pick['blocks']} blocks: {settings}")  # fmt: skip
    for said in found["said"]:
        if any(f" {word} " in said for word in _WORDS):
            print(f"  {said}")
    if lacks := missing(found):
        raise SystemExit(f"not as it should be: {'; '.join(lacks)}")


if __name__ == "__main__":
    main()
