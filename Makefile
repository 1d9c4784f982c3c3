# forecastd: `make run` shows it on this machine, `make test` tests it; `make help` lists the rest.

# ---- what it needs: Debian 12's packages, one list ----------------------------------------------
PACKAGES = build-essential pkg-config libzmq3-dev libopenblas-dev libcmocka-dev uthash-dev \
           libjansson-dev libcyaml-dev libyaml-dev libsystemd-dev libncurses-dev libhdf5-dev libzip-dev \
           libseccomp-dev librocksdb-dev libxxhash-dev
CHECK_PACKAGES = clang

# ---- settings that a user may change ------------------------------------------------------------
BUILD    ?= build
PREFIX   ?= /usr/local
CFLAGS   ?= -O2 -g
# WERROR=1 makes warnings errors; SANITIZE=address,undefined or SANITIZE=thread builds with a sanitizer.
WERROR   ?=
SANITIZE ?=

VERSION  := 0.1.0
PC_LIBS  := libzmq openblas jansson libcyaml yaml-0.1 libsystemd ncursesw hdf5 libzip libseccomp rocksdb libxxhash
ARCH     := $(shell uname -m)

BASE_CFLAGS = -std=c11 -Wall -Wextra -Wpedantic -Wconversion -ffp-contract=off -fPIC -fvisibility=hidden -pthread \
              -D_GNU_SOURCE -DFORECASTD_VERSION='"$(VERSION)"' -I. $(if $(WERROR),-Werror) \
              $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
BASE_LDFLAGS = -pthread $(if $(SANITIZE),-fsanitize=$(SANITIZE))
ENGINE_LIBS = $(shell pkg-config --libs openblas libcyaml yaml-0.1 jansson hdf5 libzip libseccomp) -lm
WIRE_LIBS   = $(shell pkg-config --libs libzmq jansson)
DAEMON_LIBS = $(WIRE_LIBS) $(shell pkg-config --libs libsystemd rocksdb) $(ENGINE_LIBS)
CLI_LIBS    = $(WIRE_LIBS) $(shell pkg-config --libs ncursesw) $(ENGINE_LIBS)
TEST_LIBS   = $(DAEMON_LIBS) $(shell pkg-config --libs cmocka)
PC_CFLAGS   = $(shell pkg-config --cflags $(PC_LIBS))

# ---- sources ------------------------------------------------------------------------------------
ENGINE_SRC := $(wildcard engine/*.c engine/kernels/*.c engine/layers/*.c engine/keras/*.c)
# What speaks the wire, used by the daemon and by the clients alike.
WIRE_SRC   := $(wildcard daemon/wire*.c) daemon/reasons.c
DAEMON_SRC := $(filter-out $(WIRE_SRC) daemon/main.c,$(wildcard daemon/*.c))
LIB_SRC    := $(wildcard clients/libforecast/*.c)
CLI_SRC    := $(wildcard clients/forecast/*.c)
UNIT_SRC   := $(wildcard tests/unit/test_*.c)
GOLDEN_SRC := $(wildcard tests/golden/test_*.c)
SCENARIO_SRC := $(wildcard tests/scenario/test_*.c)
BENCH_SRC  := $(wildcard tests/bench/bench_*.c)
FAULT_SRC  := $(wildcard tests/fault/test_*.c)
LAYER_SRC  := $(wildcard tests/fault/layer/*.c)
SUPPORT_SRC := $(wildcard tests/support/*.c) $(filter-out $(FAULT_SRC),$(wildcard tests/fault/*.c))

objects = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
TAPE_LEVELS = $(addprefix $(BUILD)/obj/engine/kernels/,tape_kernels_avx2.o tape_kernels_avx512.o)
# The kernels' levels: those of x86 with the instructions that they are for, and the reference once more without fused
# multiply-add, for CPUs that would do it in software.
X86_LEVELS = $(addprefix engine/kernels/,avx2.c avx512.c amx.c)
LEVELS = $(if $(filter x86_64,$(ARCH)),$(BUILD)/obj/engine/kernels/plain.o $(TAPE_LEVELS))
ENGINE_SRC := $(filter-out $(if $(filter x86_64,$(ARCH)),,$(X86_LEVELS)),$(ENGINE_SRC))

ENGINE_OBJ := $(call objects,$(ENGINE_SRC)) $(LEVELS)
WIRE_OBJ   := $(call objects,$(WIRE_SRC))
DAEMON_OBJ := $(call objects,$(DAEMON_SRC))
LIB_OBJ    := $(call objects,$(LIB_SRC))
CLI_OBJ    := $(call objects,$(filter-out clients/forecast/main.c,$(CLI_SRC)))
SUPPORT_OBJ := $(call objects,$(SUPPORT_SRC))
test_programs = $(patsubst tests/%.c,$(BUILD)/tests/%,$(1))
UNIT   := $(call test_programs,$(UNIT_SRC))
GOLDEN := $(call test_programs,$(GOLDEN_SRC))
SCENARIO := $(call test_programs,$(SCENARIO_SRC))
BENCH  := $(call test_programs,$(BENCH_SRC))
FAULT  := $(call test_programs,$(FAULT_SRC))

BENCHES = bench-kernels bench-train bench-bus bench-memory bench-store bench-restart bench-known bench-cpu

PROGRAMS = $(BUILD)/forecastd $(BUILD)/forecast
LIBRARIES = $(BUILD)/libengine.a $(BUILD)/libforecast.a $(BUILD)/libforecast.so $(BUILD)/libforecast.pc

.PHONY: all help deps have-deps run test unit golden scenario fault run-unit run-golden run-scenario run-fault check soak bench \
        $(BENCHES) peers bench-accuracy format goldens check-written install uninstall clean
.DELETE_ON_ERROR:
.SECONDARY:

all: $(PROGRAMS) $(LIBRARIES)

# ---- building -----------------------------------------------------------------------------------
# LEVEL_FLAGS: what an object cannot do without, also where CFLAGS is given.
define compile
@mkdir -p $(@D)
$(CC) $(BASE_CFLAGS) $(PC_CFLAGS) $(CFLAGS) $(LEVEL_FLAGS) -MMD -MP -c -o $@ $<
endef

$(BUILD)/obj/%.o: %.c
	$(compile)

$(BUILD)/obj/engine/kernels/%.o: CFLAGS += -O3
$(BUILD)/obj/engine/layers/%.o: CFLAGS += -O3
$(BUILD)/obj/engine/loss.o: CFLAGS += -O3 -fno-trapping-math
$(patsubst %,$(BUILD)/obj/engine/%.o,experts mixture smoothing scores intervals): CFLAGS += -O3
$(BUILD)/obj/engine/kernels/avx2.o: LEVEL_FLAGS = -mavx2 -mfma
AVX512_FLAGS = -mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma
$(BUILD)/obj/engine/kernels/avx512.o: LEVEL_FLAGS = $(AVX512_FLAGS)
$(BUILD)/obj/engine/kernels/amx.o: LEVEL_FLAGS = $(AVX512_FLAGS) -mavx512bf16 -mamx-tile -mamx-bf16
$(BUILD)/obj/engine/kernels/plain.o: LEVEL_FLAGS = -DKERNELS_PLAIN
$(BUILD)/obj/engine/kernels/plain.o: engine/kernels/reference.c
	$(compile)

$(BUILD)/obj/tests/support/amx_emulator.o: CFLAGS += -O3

# Those of training, for each level; there products are fused with additions, or not, as the level can.
TAPE_FLAGS = -ffp-contract=fast -fno-math-errno
$(BUILD)/obj/engine/kernels/tape_kernels.o: LEVEL_FLAGS = $(TAPE_FLAGS)
$(BUILD)/obj/engine/kernels/tape_kernels_avx2.o: LEVEL_FLAGS = $(TAPE_FLAGS) -mavx2 -mfma -DLEVEL=avx2 -DLANES=8 -DWIDE=2
$(BUILD)/obj/engine/kernels/tape_kernels_avx512.o: LEVEL_FLAGS = $(TAPE_FLAGS) -mavx512f -mfma -mprefer-vector-width=512 -DLEVEL=avx512 -DLANES=16 -DWIDE=4
$(TAPE_LEVELS): engine/kernels/tape_kernels.c
	$(compile)

$(BUILD)/libengine.a: $(ENGINE_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/libdaemon.a: $(DAEMON_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/libforecast.a: $(LIB_OBJ) $(WIRE_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/libforecast.so: $(LIB_OBJ) $(WIRE_OBJ)
	$(CC) -shared -Wl,-soname,libforecast.so.0 $(BASE_LDFLAGS) $(LDFLAGS) -o $@ $^ $(WIRE_LIBS)
	ln -sf libforecast.so $(BUILD)/libforecast.so.0

$(BUILD)/libforecast.pc: clients/libforecast/libforecast.pc.in Makefile
	@mkdir -p $(@D)
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' $< > $@

$(BUILD)/forecastd: $(BUILD)/obj/daemon/main.o $(BUILD)/libdaemon.a $(WIRE_OBJ) $(BUILD)/libengine.a
	$(CC) $(BASE_LDFLAGS) $(LDFLAGS) -o $@ $^ $(DAEMON_LIBS)

$(BUILD)/libcli.a: $(CLI_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/forecast: $(BUILD)/obj/clients/forecast/main.o $(BUILD)/libcli.a $(BUILD)/libforecast.a $(BUILD)/libengine.a
	$(CC) $(BASE_LDFLAGS) $(LDFLAGS) -o $@ $^ $(CLI_LIBS)

$(BUILD)/libsupport.a: $(SUPPORT_OBJ)
	rm -f $@ && $(AR) rcs $@ $^

# What comes below a program under test (tests/fault/plan.h).
$(BUILD)/tests/fault/layer.so: $(call objects,$(LAYER_SRC))
	@mkdir -p $(@D)
	$(CC) -shared $(BASE_LDFLAGS) $(LDFLAGS) -o $@ $^
$(FAULT): | $(BUILD)/tests/fault/layer.so

# A test program is one file, linked against the archives: it takes in only what it calls.
TEST_ARCHIVES = $(addprefix $(BUILD)/,libsupport.a libdaemon.a libcli.a libforecast.a libengine.a)
$(BUILD)/tests/%: $(BUILD)/obj/tests/%.o $(TEST_ARCHIVES)
	@mkdir -p $(@D)
	$(CC) $(BASE_LDFLAGS) $(LDFLAGS) -o $@ $^ $(TEST_LIBS)

# ---- dependencies -------------------------------------------------------------------------------
# Goals that people type build with all processors, unless make was told otherwise.
JOBS = $(if $(findstring j,$(firstword -$(MAKEFLAGS))),,-j$(shell nproc))
SUDO = $(if $(filter 0,$(shell id -u)),,sudo)

deps:
	@command -v apt-get >/dev/null || { echo "make deps: this system has no apt-get; install what Debian calls: \
	$(PACKAGES) $(CHECK_PACKAGES)" >&2; exit 1; }
	$(SUDO) apt-get update -qq
	$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $(PACKAGES) $(CHECK_PACKAGES)

# Called by what a newcomer types: installs only when something is missing.
have-deps:
	@if ! { command -v $(CC) && command -v pkg-config && pkg-config --exists $(PC_LIBS) cmocka && \
	echo "#include <uthash.h>" | $(CC) -E -; } >/dev/null 2>&1; then \
	echo "some packages are missing: make deps installs them"; $(MAKE) --no-print-directory deps; fi

# ---- running and testing ------------------------------------------------------------------------
# The main job on real input: this machine's metrics, forecast live. Ctrl-C ends it; RUN_SECONDS=n ends it by itself.
run: have-deps
	@$(MAKE) --no-print-directory $(JOBS) $(PROGRAMS)
	@BUILD=$(BUILD) RUN_SECONDS=$(RUN_SECONDS) conf/demo.sh

test: have-deps
	@$(MAKE) --no-print-directory $(JOBS) all $(UNIT) $(GOLDEN) $(SCENARIO)
	@BUILD=$(BUILD) tests/run $(UNIT) $(GOLDEN) $(SCENARIO)

unit golden scenario: %: have-deps
	@$(MAKE) --no-print-directory all run-$*
run-unit: $(UNIT)
	@BUILD=$(BUILD) tests/run $^
run-golden: $(GOLDEN)
	@BUILD=$(BUILD) tests/run $^
run-scenario: $(SCENARIO)
	@BUILD=$(BUILD) tests/run $^

# What fails and crashes; FAULT_LONG=1 for the long forms.
fault: have-deps
	@$(MAKE) --no-print-directory all run-fault
run-fault: $(FAULT)
	@BUILD=$(BUILD) TIME_LIMIT=$(if $(FAULT_LONG),7200,300) tests/run $^

# What takes longer: both compilers without a warning, the sanitizers, and the demonstration.
check: have-deps
	@BUILD=$(BUILD) tests/check

# The long forms: all faults, and damaged model files by the million under the sanitizers (FUZZ_RUNS=n of them).
SOAK = $(addprefix $(BUILD)/asan/tests/unit/,test_keras_container test_keras_read test_keras_architecture)
soak: have-deps
	@$(MAKE) --no-print-directory FAULT_LONG=1 fault
	@$(MAKE) --no-print-directory $(JOBS) BUILD=$(BUILD)/asan SANITIZE=address,undefined CFLAGS="-O1 -g" $(SOAK)
	@FUZZ_RUNS=$(or $(FUZZ_RUNS),1000000) TIME_LIMIT=86400 BUILD=$(BUILD)/asan tests/run $(SOAK)

# Tables; JSON lines with JSON=1. Never fails a build. Beside those peers that `make peers` has put into $(BUILD)/peers.
bench $(BENCHES): have-deps
	@$(MAKE) --no-print-directory $(JOBS) $(PROGRAMS) $(BENCH)
	-@BUILD=$(BUILD) JSON=$(JSON) tests/bench/run $(patsubst bench-%,%,$(filter-out bench,$@))

# Other runtimes, and the tables beside them, one after the other also with -j; the package indexes are needed.
peers: have-deps
	@BUILD=$(BUILD) CC="$(CC)" MAKE="$(MAKE)" tests/bench/get_peers
	@$(MAKE) --no-print-directory bench-kernels
	@$(MAKE) --no-print-directory bench-train

$(BUILD)/peers/onednn: PEER_LIBS = -ldnnl
$(BUILD)/peers/openblas: PEER_LIBS = $(shell pkg-config --libs openblas) -lm
$(BUILD)/obj/tests/bench/peer_openblas.o: CFLAGS += -O3 -march=native -ffast-math -ffp-contract=fast
$(BUILD)/peers/%: $(BUILD)/obj/tests/bench/peer_%.o $(BUILD)/libsupport.a
	@mkdir -p $(@D)
	$(CC) $(BASE_LDFLAGS) $(LDFLAGS) -o $@ $^ $(PEER_LIBS) $(shell pkg-config --libs jansson)

# How well is forecast, on the series of ../shared/data and on generated ones: minutes. SERIES="ETT vix" for some of them.
bench-accuracy: have-deps
	@$(MAKE) --no-print-directory $(JOBS) $(PROGRAMS) $(BUILD)/tests/bench/accuracy
	@BUILD=$(BUILD) JSON=$(JSON) $(BUILD)/tests/bench/accuracy $(SERIES)

# All C files as .clang-format says.
format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

# Goldens from real Keras; needs python3 with venv, and the Python package index. The tests do not.
goldens:
	python3 -m venv $(BUILD)/venv && $(BUILD)/venv/bin/pip install -q -r tests/golden/requirements.txt
	$(BUILD)/venv/bin/python tests/golden/make_goldens.py

# Real Keras against the files that are written here: it loads them and predicts the same. Needs what goldens needs.
check-written: $(BUILD)/tests/golden/write_models $(BUILD)/forecast
	python3 -m venv $(BUILD)/venv && $(BUILD)/venv/bin/pip install -q -r tests/golden/requirements.txt
	rm -rf $(BUILD)/written && mkdir -p $(BUILD)/written && $< $(BUILD)/written
	$(BUILD)/venv/bin/python tests/golden/check_written.py $(BUILD)/written keras $(BUILD)/forecast
	$(BUILD)/venv/bin/python tests/golden/check_written.py $(BUILD)/written tf_keras $(BUILD)/forecast

# conf/forecastd.yaml is what the table of keys prints.
conf/forecastd.yaml: $(BUILD)/forecastd
	$< --print-config > $@

# ---- installing ---------------------------------------------------------------------------------
bindir = $(PREFIX)/bin
libdir = $(PREFIX)/lib
includedir = $(PREFIX)/include
sysconfdir = /etc
unitdir = $(PREFIX)/lib/systemd/system
docdir = $(PREFIX)/share/doc/forecastd

install: all
	install -d $(addprefix $(DESTDIR),$(bindir) $(libdir)/pkgconfig $(includedir) $(sysconfdir)/forecastd $(unitdir) $(docdir))
	install -m 755 $(PROGRAMS) $(DESTDIR)$(bindir)
	install -m 644 $(BUILD)/libforecast.a $(DESTDIR)$(libdir)
	install -m 755 $(BUILD)/libforecast.so $(DESTDIR)$(libdir)/libforecast.so.0
	ln -sf libforecast.so.0 $(DESTDIR)$(libdir)/libforecast.so
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(VERSION)|' clients/libforecast/libforecast.pc.in \
	  > $(DESTDIR)$(libdir)/pkgconfig/libforecast.pc
	install -m 644 clients/libforecast/forecast.h $(DESTDIR)$(includedir)
	sed -e 's|@BINDIR@|$(bindir)|g' -e 's|@SYSCONFDIR@|$(sysconfdir)|g' -e 's|@DOCDIR@|$(docdir)|g' \
	  conf/forecastd.service > $(DESTDIR)$(unitdir)/forecastd.service
	install -m 644 README.md daemon/DESIGN.md daemon/PROTOCOL.md $(DESTDIR)$(docdir)
	@# A configuration that is there is the owner's.
	[ -e $(DESTDIR)$(sysconfdir)/forecastd/forecastd.yaml ] || \
	  { sed 's|^state_dir: ""$$|state_dir: /var/lib/forecastd/state|' conf/forecastd.yaml \
	  > $(DESTDIR)$(sysconfdir)/forecastd/forecastd.yaml && chmod 644 $(DESTDIR)$(sysconfdir)/forecastd/forecastd.yaml; }

uninstall:
	rm -f $(addprefix $(DESTDIR)$(bindir)/,forecastd forecast) \
	  $(addprefix $(DESTDIR)$(libdir)/,libforecast.a libforecast.so libforecast.so.0 pkgconfig/libforecast.pc) \
	  $(DESTDIR)$(includedir)/forecast.h $(DESTDIR)$(unitdir)/forecastd.service
	rm -rf $(DESTDIR)$(docdir)
	@echo "kept: $(DESTDIR)$(sysconfdir)/forecastd"

clean:
	rm -rf $(BUILD)

help:
	@echo "make run        forecast this machine's metrics, live (RUN_SECONDS=n stops by itself)"
	@echo "make test       unit, golden and scenario tests; make unit, golden, scenario: some of them"
	@echo "make fault      what fails and crashes: memory, files, the machine"
	@echo "make check      the longer tests: warnings, sanitizers, the demonstration"
	@echo "make soak       the long forms: faults (FAULT_LONG=1), damaged model files by the million (FUZZ_RUNS=n)"
	@echo "make bench      benchmarks (JSON=1 for JSON lines); bench-kernels, -train, -bus, -memory, -store, -restart, -known alone;"
	@echo "                STREAMS=n for the memory of so many"
	@echo "make bench-cpu  what share of a processor training takes, over a minute (SECONDS=n, SHARES=\"10 25\")"
	@echo "make peers      get other runtimes, and measure kernels and training beside them"
	@echo "make bench-accuracy  forecasts of real and generated series beside simple ones (SERIES=\"ETT vix\")"
	@echo "make install    to PREFIX ($(PREFIX)) under DESTDIR; make uninstall takes it away"
	@echo "make format     all C files as .clang-format says; make clean takes $(BUILD) away"
	@echo "make deps       install the Debian packages that are needed"
	@echo "make goldens    make the golden files anew from real Keras"
	@echo "make check-written  let real Keras load what is written here, and compare"

-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)
