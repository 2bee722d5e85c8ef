"""A store that holds the example run with all its trials, as `nettune run` would have left it."""

from itertools import groupby
from pathlib import Path

from results.records import Run, Trial
from results.store import Ended, opened
from tests.unit.results.example import example_run, example_trials


def kept_example(path: Path, **changes: object) -> tuple[Run, tuple[Trial, ...]]:
    """The run and its trials as they were put into the store at `path`; raw output only of the first trial."""
    settings = {name: tuple({**each, "was": "x"} for each in listed) for name, listed in example_run().settings.items()}
    run = example_run(**{"settings": settings, **changes})
    trials = example_trials(run)
    with opened(str(path)) as store:
        store.begin_run(run)
        for (topology, block), members in groupby(trials, key=lambda each: (each.topology, each.block)):
            held = list(members)
            store.begin_block(run.run_id, topology, block, 0, [each.arm for each in held])
            for each in held:
                trial_id = store.begin_trial(run.run_id, topology, block, 0, each.position, each.arm)
                raw = {("tcp", "client"): '{"é": 1}\n'} if each is trials[0] else {}
                ended = Ended(each.status, each.cause, each.elapsed_s, each.samples, each.histograms, each.flags, raw)
                store.end_trial(trial_id, ended)
            store.end_block(run.run_id, topology, block, 0)
        store.end_run(run.run_id, "complete")
        return store.run(run.run_id), store.trials(run.run_id)
