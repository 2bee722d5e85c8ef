# What needs both CPUs runs first, alone. What else measures leaves most of them idle, so that two files of it run side by
# side; whole matrices run alone. What measures nothing waits half of the time (for timers, guards, carriers): four at
# once. Files with emulated guests, each of which keeps a CPU busy, come last: three at a time fail.
BESIDE = -n 2 --dist loadfile --no-loadscope-reorder
MANY = -n 4 --dist worksteal
# Where all tests are that need more than Python: five thousand others need not be collected by each process.
REAL = tests/contract tests/netns tests/pve tests/vm tests/unit/results/test_report_in_chromium.py
QUIET = $(REAL) -m "quiet"
MEASURES = $(REAL) -m "(netns or chromium or postgresql) and not apart and not quiet"
WAITS = $(MANY) $(REAL) -m "(apart or pve) and not vm and not quiet"
GUESTS = $(BESIDE) $(REAL) -m "vm and not quiet"
# A machine that others use fails one measurement in hundreds. What fails is tried once more and shown whole either way.
ONCE_MORE = --reruns 1 --max-suite-reruns 3 --rerun-show-tracebacks

# Tests start nettune a thousand times, which would compile it each time.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test check bench lock schemas

demo:  ## measure a real kernel path in about 80 s; the answer is in demo/
	scripts/set-up
	scripts/as-root .venv/bin/nettune run quick --out demo

test:  ## every tier that this machine can run; in CI (CI=true) a missing tier is a failure
	scripts/set-up --tests
	$(MAKE) --no-print-directory check
	scripts/as-root .venv/bin/python -m pytest -q --durations=12 $(ONCE_MORE) $(QUIET)
	scripts/as-root .venv/bin/python -m pytest -q --durations=12 $(ONCE_MORE) $(BESIDE) $(MEASURES)
	scripts/as-root .venv/bin/python -m pytest -q --durations=12 $(ONCE_MORE) $(WAITS)
	scripts/as-root .venv/bin/python -m pytest -q --durations=12 $(ONCE_MORE) $(GUESTS)

check:  ## format, lint, types, layers, unit tests: the line that CI and pre-commit run
	.venv/bin/ruff format --check -q .
	.venv/bin/ruff check -q .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/python -m pytest -q -n 2 tests/contract tests/unit \
	  -m "not netns and not chromium and not postgresql and not vm and not pve"

bench:  ## all tiers with their matrices whole; then the project's own figures: overhead, agreement, false winners, power
	scripts/set-up --tests
	scripts/as-root .venv/bin/python -m pytest -q --whole $(QUIET)
	scripts/as-root .venv/bin/python -m pytest -q --whole $(MEASURES)
	scripts/as-root .venv/bin/python -m pytest -q --whole $(WAITS)
	scripts/as-root .venv/bin/python -m pytest -q --whole $(GUESTS)
	scripts/as-root .venv/bin/python -m benchmarks

lock:  ## requirements.lock from pyproject.toml
	.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --quiet --group dev pyproject.toml -o requirements.lock

schemas:  ## nettune/schemas/*.json from the tables that the readers use
	.venv/bin/python -m nettune.schemas
