# An emulated guest leaves half of two CPUs idle, and files marked apart measure nothing; what measures runs alone, before.
TWO_FILES = -n 2 --dist loadfile
ALONE = (netns or chromium or postgresql) and not apart

.PHONY: demo test check bench lock schemas

demo:  ## measure a real kernel path in about 80 s; the answer is in demo/
	scripts/set-up
	scripts/as-root .venv/bin/nettune run quick --out demo

test:  ## every tier that this machine can run; in CI (CI=true) a missing tier is a failure
	scripts/set-up --tests
	$(MAKE) --no-print-directory check
	scripts/as-root .venv/bin/python -m pytest -q --durations=12 -m "$(ALONE)"
	scripts/as-root .venv/bin/python -m pytest -q --durations=12 $(TWO_FILES) -m "vm or apart or pve"

check:  ## format, lint, types, layers, unit tests: the line that CI and pre-commit run
	.venv/bin/ruff format --check -q .
	.venv/bin/ruff check -q .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	.venv/bin/python -m pytest -q -m "not netns and not chromium and not postgresql and not vm and not pve"

bench:  ## all tiers with their matrices whole; then the project's own figures: overhead, agreement, false winners, power
	scripts/set-up --tests
	scripts/as-root .venv/bin/python -m pytest -q --whole -m "$(ALONE)"
	scripts/as-root .venv/bin/python -m pytest -q --whole $(TWO_FILES) -m "vm or apart or pve"
	scripts/as-root .venv/bin/python -m benchmarks

lock:  ## requirements.lock from pyproject.toml
	.venv/bin/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
	  --quiet --group dev pyproject.toml -o requirements.lock

schemas:  ## nettune/schemas/*.json from the tables that the readers use
	.venv/bin/python -m nettune.schemas
