# What needs both CPUs runs first, alone. What else measures leaves most of them idle, so that two files of it run side by
# side; whole matrices run alone. So do files with emulated guests, and those marked apart, which measure nothing: three
# at a time fail.
BESIDE = -n 2 --dist loadfile --no-loadscope-reorder
QUIET = -m "quiet"
MEASURES = -m "(netns or chromium or postgresql) and not apart and not quiet"
GUESTS = $(BESIDE) -m "(vm or apart or pve) and not quiet"
# A machine that others use fails one measurement in hundreds. What fails is tried once more and shown whole either way.
ONCE_MORE = --reruns 1 --max-suite-reruns 3 --rerun-show-tracebacks

.PHONY: demo test check bench lock schemas

demo:  ## measure a real kernel path in about 80 s; the answer is in demo/
	scripts/set-up
	scripts/as-root .venv/bin/nettune run quick --out demo

test:  ## every tier that this machine can run; in CI (CI=true) a missing tier is a failure
	scripts/set-up --tests
	$(MAKE) --no-print-directory check
	scripts/as-root .venv/bin/python -m pytest -q --durations=12 $(ONCE_MORE) $(QUIET)
	scripts/as-root .venv/bin/python -m pytest -q --durations=12 $(ONCE_MORE) $(BESIDE) $(MEASURES)
	scripts/as-root .venv/bin/python -m pytest -q --durations=12 $(ONCE_MORE) $(GUESTS)

check:  ## format, lint, types, layers, unit tests: the line that CI and pre-commit run
	.venv/bin/ruff format --check -q .
	.venv/bin/ruff check -q .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/python -m pytest -q -m "not netns and not chromium and not postgresql and not vm and not pve"

bench:  ## all tiers with their matrices whole; then the project's own figures: overhead, agreement, false winners, power
	scripts/set-up --tests
	scripts/as-root .venv/bin/python -m pytest -q --whole $(QUIET)
	scripts/as-root .venv/bin/python -m pytest -q --whole $(MEASURES)
	scripts/as-root .venv/bin/python -m pytest -q --whole $(GUESTS)
	scripts/as-root .venv/bin/python -m benchmarks

lock:  ## requirements.lock from pyproject.toml
	.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --quiet --group dev pyproject.toml -o requirements.lock

schemas:  ## nettune/schemas/*.json from the tables that the readers use
	.venv/bin/python -m nettune.schemas
