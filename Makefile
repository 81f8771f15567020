# SPDX-License-Identifier: Apache-2.0
# The front door: thin targets over Meson. `make help` lists them.
#
# BUILD   build folder (default build)
# J       parallel jobs (default: the number of processors)
# PREFIX, DESTDIR   for `make install`
# HAMI_NO_INSTALL=1 never installs packages: says what is missing and stops

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
J ?= $(shell nproc)
SHELL := /bin/bash
.DEFAULT_GOAL := all
.PHONY: all demo check quick e2e lint fmt docs bench install clean help

all: $(BUILD)/build.ninja ## build hami, libvgpu.so and the simulated drivers
	@ninja -C $(BUILD) -j $(J)

$(BUILD)/build.ninja: | bootstrap-build
	@meson setup $(BUILD) --prefix $(PREFIX)

.PHONY: bootstrap-build bootstrap-check bootstrap-demo
bootstrap-build bootstrap-check bootstrap-demo: bootstrap-%:
	@tools/bootstrap $*

demo: bootstrap-demo ## watch four tenants share a (simulated) card under exact limits
	@$(MAKE) --no-print-directory all
	@demo/run $(BUILD)

check: bootstrap-check ## everything: tests, lint, sanitizers, fuzz corpora, real clients
	@tools/check $(BUILD)

quick: all ## only the tests of the normal build, without the longest
	@meson test -C $(BUILD) --num-processes $(J) --no-suite long --print-errorlogs

e2e: bootstrap-check all ## hami scheduler on a real Kubernetes control plane (built once, cached)
	@tests/e2e/run $(BUILD)

lint: bootstrap-check all ## format, analysis, include levels, shell scripts, symbols
	@tools/lint/run $(BUILD)

fmt: ## format every C file
	@git ls-files '*.c' '*.h' | grep -v '^src/abi/' | xargs -r clang-format -i

docs: $(BUILD)/build.ninja ## write docs/reference from contract/, the family table and the help texts
	@tools/gen-reference docs/reference
	@ninja -C $(BUILD) docs/vendor-reference >/dev/null
	@$(BUILD)/docs/vendor-reference >docs/reference/vendors.md
	@ninja -C $(BUILD) hami >/dev/null
	@tools/gen-flags $(BUILD)/hami >docs/reference/flags.md

bench: all ## measure every published figure, target beside it
	@bench/run $(BUILD)
	@bench/control/run $(BUILD)
	@bench/plane/run $(BUILD)

install: all ## install below DESTDIR PREFIX
	@meson configure $(BUILD) --prefix $(PREFIX) >/dev/null
	@ninja -C $(BUILD) -j $(J) >/dev/null
	@DESTDIR=$(if $(DESTDIR),$(abspath $(DESTDIR))) meson install -C $(BUILD) --no-rebuild

clean: ## remove the build folder
	@rm -rf $(BUILD)

help: ## this list
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | expand -t 12
