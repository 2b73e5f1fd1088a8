# SPDX-License-Identifier: Apache-2.0
#
# A thin front for Meson and the scripts; `make help` lists what there is.
BUILD ?= build
PREFIX ?= /usr/local

.PHONY: all help deps demo check bench bench-sched install clean

all: deps
	@test -f $(BUILD)/build.ninja || meson setup $(BUILD) --prefix=$(PREFIX) >$(BUILD)-setup.log 2>&1 \
		|| { cat $(BUILD)-setup.log; exit 1; }
	@rm -f $(BUILD)-setup.log
	ninja -C $(BUILD)

help:
	@echo "make          install what is missing and build everything (into $(BUILD)/)"
	@echo "make demo     boot two VMs and run CUDA programs in both through the mediator"
	@echo "make check    pass all tests"
	@echo "make bench    time the driver API natively and through the mediator (NVIDIA GPU, else software)"
	@echo "make bench-sched  share a GPU between tenants under each policy, report in bench-sched/"
	@echo "make install  install the host side under PREFIX ($(PREFIX))"
	@echo "make clean    remove what was built in the tree"

deps:
	@scripts/install-deps.sh

demo: all
	@python3 scripts/demo.py --build $(BUILD)

check: deps
	@python3 scripts/check.py

bench: all
	@python3 scripts/bench.py --build $(BUILD)

bench-sched: all
	@python3 scripts/bench_sched.py --build $(BUILD)

install: all
	meson install -C $(BUILD) --no-rebuild

clean:
	rm -rf $(BUILD) build-asan build-fuzz build-tsan check-logs bench-sched
