# Everything here does its own set-up. `make help` lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help

# ARGS    more arguments for the command behind a target:  make site ARGS="-e gridtie_engine=embedded"
# CHECK=1 says what would change, and changes nothing:      make site CHECK=1
# PURGE=1 also removes models, ledger and keys, and asks:   make reset PURGE=1
# MODELS  which models, by their names:                     make pins MODELS="qwen2.5-coder:7b"
# ADD     a model of the Ollama library:                    make catalogue ADD=qwen3.5:9b
# NAMES   measurements, or files of tests:                  make record NAMES="doctor bench-probe"
# RECORD=1 keeps what tests come to, for the closeout:      make test PART=all RECORD=1
# COMPARE=1 builds many tasks, here and at a cloud:         make demo COMPARE=1 ARGS="--spend 0.50"
# IMAGE   a name for it, such as a registry's:              make image IMAGE=registry.example.com/ci/gridtie:1
# BUNDLE  a bundle's directory, on a machine without a network:  make site BUNDLE=/media/stick/gridtie-1.1.0-debian-13-x86_64
# JUNIT   a file for the checks as JUnit XML:               make verify JUNIT=gridtie.xml
# BASE    a commit to compare with:                         make cases BASE=710d345
# V=1     Ansible's usual output:                           make site V=1
# PART    some parts of the tests alone, or all of them:    make test PART="lint unit"
ARGS ?=
PART ?=
MODELS ?=
ADD ?=
VERSION ?=
NAMES ?=
IMAGE ?=
JUNIT ?=
BUNDLE ?=
# What installs Python packages and what provisions hosts both take them from there. Make's own functions for paths take
# one with a space for two, and sticks are called that way.
export GRIDTIE_BUNDLE := $(if $(BUNDLE),$(if $(filter /%,$(firstword $(BUNDLE))),,$(CURDIR)/)$(BUNDLE),$(GRIDTIE_BUNDLE))
BASE ?=
check := $(if $(filter 1 yes true,$(CHECK)),--check --diff)
record := $(if $(filter 1 yes true,$(RECORD)),GRIDTIE_RECORD=1 )
verbose := $(if $(filter 1 yes true,$(V)),-v)
purge := $(if $(filter 1 yes true,$(PURGE)),-e '{"gridtie_purge": true}')

.PHONY: help site upgrade verify image bundle report bench observability cluster demo test cases faults fuzz reset pins catalogue pages record lock oracle venv artefacts collection

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | while IFS='|' read -r target text; do \
	  printf '%-19s %s\n' "$$target" "$$text"; done
	@sed -n 's/^# \([A-Z]*\(=1\)\{0,1\}  *.*:  .*\)/    \1/p' $(firstword $(MAKEFILE_LIST))

site: ## turn this machine into a working, verified station (run again: changes nothing)
	@scripts/venv site
	@scripts/playbook site.yml $(check) $(verbose) $(ARGS)

upgrade: ## switch the engine to the pinned version; rolls back automatically where that does not work
	@scripts/venv site
	@scripts/playbook playbooks/upgrade.yml $(check) $(verbose) $(ARGS)

verify: ## prove that the station works: every check, from inside and outside; JUNIT=FILE: as JUnit XML as well
	@scripts/venv site
	@$(if $(JUNIT),GRIDTIE_JUNIT="$(abspath $(JUNIT))" )scripts/playbook playbooks/verify.yml $(verbose) $(ARGS)

image: ## one image with router, engine and the small model, for `services:` of a pipeline and Testcontainers (docs/ci.md)
	@scripts/venv site
	@scripts/playbook playbooks/image.yml $(if $(IMAGE),-e gridtie_service_image=$(IMAGE)) $(verbose) $(ARGS)

bundle: ## all that a station is made of, as a directory in bundles/, for machines without a network (docs/offline.md)
	@scripts/venv site
	@scripts/playbook playbooks/bundle.yml $(verbose) $(ARGS)

report: ## one bill for all hosts of an inventory:  make report ARGS="-i inventories/team -e gridtie_report_month=2026-11"
	@scripts/venv site
	@scripts/playbook playbooks/report.yml $(verbose) $(ARGS)

bench: ## which host serves which model how fast, and what is off the prediction, as one table
	@scripts/venv site
	@scripts/playbook playbooks/bench.yml $(verbose) $(ARGS)

observability: ## Prometheus on one host for all routers of an inventory, with alerts and a dashboard (docs/observability.md)
	@scripts/venv site
	@scripts/playbook playbooks/observability.yml $(check) $(verbose) $(ARGS)

cluster: ## routers and vLLM pools in a Kubernetes cluster that exists (docs/cluster.md); CHECK=1 shows the difference
	@scripts/venv cluster
	@scripts/playbook playbooks/cluster.yml $(if $(filter -i,$(ARGS)),,-i inventories/cluster) $(check) $(verbose) $(ARGS)

demo: ## five agents build and test a small feature through the router; COMPARE=1: what a solved task costs here and there
	@scripts/venv site
	@.venv/bin/python demo_final.py $(if $(filter 1 yes true,$(COMPARE)),--compare) $(ARGS)

test: ## tests of the project itself, with their set-up; PART=all for every scenario of the lab, as in CI
	@scripts/venv test
	@$(record).venv/bin/python scripts/test.py $(PART) $(ARGS)

cases: ## what real users send, write and own, tried against a router process; BASE=COMMIT for both side by side
	@scripts/venv test
	@PYTHONPATH=src:tests .venv/bin/python -m cases.run $(if $(BASE),--base $(BASE)) $(ARGS)

faults: ## every way in which an upstream goes wrong, against a real router, as a table:  make faults ARGS="HTML stall"
	@scripts/venv test
	@PYTHONPATH=src:tests .venv/bin/python -m faults $(ARGS)

fuzz: ## random inputs for everything that reads bytes:  make fuzz ARGS="--inputs 10000000 --seed 2"
	@scripts/venv test
	@PYTHONPATH=src:tests .venv/bin/python -m fuzz $(ARGS)

reset: ## remove what `make site` made; models, ledger and keys stay unless PURGE=1
	@scripts/venv site
	@scripts/playbook playbooks/reset.yml $(check) $(verbose) $(purge) $(ARGS)

pins: ## write the digests of models into config/models.lock.yaml, as their sources have them now
	@scripts/venv site
	@.venv/bin/python scripts/pin_models.py $(MODELS) $(ARGS)

catalogue: ## read models' shapes from their headers into config/models.yaml; ADD=NAME writes a new entry
	@scripts/venv site
	@.venv/bin/python -m gridtie.catalogue $(ARGS) $(if $(ADD),add "$(ADD)",refresh $(MODELS))

pages: ## write the pages again that are made from data: tables of docs/, READMEs of roles, docs/closeout.md
	@scripts/venv site
	@.venv/bin/python scripts/models_page.py
	@.venv/bin/python scripts/fit_docs.py
	@.venv/bin/python scripts/pictures.py
	@.venv/bin/python scripts/costs_page.py
	@.venv/bin/python scripts/scale_page.py
	@.venv/bin/python scripts/metrics_page.py
	@.venv/bin/python scripts/results_pages.py
	@.venv/bin/python scripts/closeout.py
	@.venv/bin/python scripts/role_readmes.py

record: ## keep what measurements or files of tests come to, for docs/closeout.md:  make record NAMES="doctor bench-probe"
	@scripts/venv test
	@.venv/bin/python scripts/record.py $(NAMES) $(ARGS)

lock: ## write the lock files again from pyproject.toml
	@scripts/lock $(ARGS)

artefacts: ## pin another version of Ollama, with its checksums:  make artefacts VERSION=0.32.15 ARGS="--only release"
	@scripts/venv site
	@.venv/bin/python -m gridtie.artefacts $(VERSION) $(ARGS)

collection: ## dist/gridtie-gridtie-VERSION.tar.gz, to be installed with ansible-galaxy (docs/collection.md)
	@scripts/venv site
	@.venv/bin/ansible-galaxy collection build --output-path dist --force

oracle: ## record anew what llama.cpp's server reserves, for the tests of memory fit
	@scripts/record-fit-oracle

venv: ## only the virtual environment that the commands above use
	@scripts/venv site
