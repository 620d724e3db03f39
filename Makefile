# Every target is idempotent, works from a clean checkout, and says what it installs.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
COVERAGE := $(BIN)/coverage
# A file's tests stay on one worker, and the longest file is not the last one.
SHARED_OUT := --dist loadfile --no-loadscope-reorder
# To build systemd-python, the tools whose work the unit tests look at, and what writes a journal for them to read.
PACKAGES := python3-dev python3-venv gcc libc6-dev pkg-config libsystemd-dev cryptsetup-bin util-linux xfsprogs btrfs-progs \
	systemd systemd-journal-remote

.PHONY: help
help: ## List everything that make can do here
	@grep -hE '^[a-z][a-z-]*:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: demo
demo: lab ## Show the main job in a virtual host: three databases on encrypted volumes, across a reboot
	@$(PYTHON) -m tests.lab.demo

.PHONY: test
test: tools $(VENV)/installed lint unit host-tests coverage ## Everything: lint, types, unit tests, and the tests on a real kernel
	@echo "make test: everything passed"

.PHONY: test-cuts
test-cuts: tools $(VENV)/installed lab vault ## A power cut and a SIGKILL at every point of every step: first apply, rotation, header restore
	$(BIN)/pytest --full --numprocesses 2 $(SHARED_OUT) -k 'not random_moment' tests/faults/test_sigkill.py tests/faults/test_power_cut.py \
		tests/faults/test_rotation_sigkill.py tests/faults/test_rotation_power_cut.py tests/faults/test_header_restore.py

.PHONY: test-full
test-full: tools $(VENV)/installed unit lab vault deb ## The long matrices too (hours); writes their counts to docs/reference/matrix.md
	$(BIN)/pytest --full --numprocesses 2 $(SHARED_OUT) tests/host tests/faults

.PHONY: lint
lint: $(VENV)/installed ## Style, types and the layers of the architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: unit
unit: $(VENV)/installed ## The fast, pure tests
	@rm -rf .coverage-data
	$(COVERAGE) run -m pytest tests/unit

.PHONY: host-tests
host-tests: $(VENV)/installed tools ## The tests on a real kernel, in the virtual host, and before a real Vault server
	@$(MAKE) --no-print-directory --jobs 2 lab vault deb
	VOLWARD_COVERAGE=1 $(BIN)/pytest --numprocesses 2 $(SHARED_OUT) --durations 15 tests/host tests/faults tests/vault

.PHONY: coverage
coverage: ## Coverage of agent/ by unit tests and virtual host together, with its thresholds
	$(COVERAGE) combine --keep --quiet .coverage-data
	$(COVERAGE) report --skip-empty --fail-under=90
	$(COVERAGE) report --include='agent/volward/plan/*,agent/volward/verify.py,agent/volward/journal.py,agent/volward/secret.py' --fail-under=100

.PHONY: bench
bench: $(VENV)/installed lab vault ## The speeds that volward claims, each a comparison inside one run
	@status=0; for each in help status control open "open --keys vault" rotate "rotate --keys vault" boot daemon; do \
		set -- $$each; name=$$1; shift; echo "tests/bench/$$name.py $$*"; \
		$(BIN)/python tests/bench/$$name.py "$$@" || status=1; \
	done; exit $$status

.PHONY: soak
soak: tools $(VENV)/installed lab ## Fifty boots in a row; docs/reference/boots.md
	VOLWARD_BOOTS=50 $(BIN)/pytest tests/host/test_boot.py -k boot_after_boot

.PHONY: tools
tools: ## Install what the tests and the virtual host need from Debian (apt; root)
	@$(PYTHON) -m tests.lab tools
	@missing=$$({ dpkg-query --show --showformat '$${db:Status-Status} $${Package}\n' $(PACKAGES) 2>/dev/null || true; } \
		| awk '$$1 == "installed" {print $$2}' | sort -u | comm -13 - <(printf '%s\n' $(PACKAGES) | sort -u)); \
	if [ -n "$$missing" ]; then \
		echo "The tests need these Debian packages: "$$missing; \
		apt-get --quiet --yes update >/dev/null; \
		DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes --no-install-recommends install $$missing >/dev/null; \
	fi

.PHONY: lab
lab: tools ## Build the virtual host, if it is not cached
	@$(PYTHON) -m tests.lab build

.PHONY: vault
vault: tools ## Build the Vault server that tests talk to, if it is not cached (minutes; fetches Go modules)
	@$(PYTHON) -m tests.lab vault

.PHONY: deb
deb: ## Build the Debian package (for Debian 13, in a chroot; root) into dist/, and check it with lintian
	@$(PYTHON) -m tests.lab deb

.PHONY: lab-shell
lab-shell: lab ## A shell in a fresh virtual host with spare disks, to look around by oneself
	@$(PYTHON) -m tests.lab shell

.PHONY: format
format: $(VENV)/installed ## Rewrite the sources in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: clean
clean: ## Remove what the other targets made in this checkout
	rm -rf $(VENV) .coverage-data .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

$(VENV)/installed: pyproject.toml | tools
	@echo "Installing volward with its development tools into $(VENV) (pip)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
