# pitot: `make help` says what there is. Adding a probe, optimizer, op, data format, command, example or test is adding one file:
# everything below finds files by name.

CC ?= gcc
CXX ?= g++
PREFIX ?= /usr/local
DESTDIR ?=
MODE ?= release
OPENBLAS ?= /usr/lib/$(shell $(CC) -print-multiarch 2>/dev/null)/openblas-openmp

MAKEFLAGS += -rR --no-print-directory
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc 2>/dev/null || echo 2)
endif

# ---- end of what is usually set from outside ----

VERSION := $(shell sed -n 's/^\#define PITOT_VERSION "\(.*\)"/\1/p' include/pitot/base.h)
ABI := $(shell sed -n 's/^\#define PITOT_ABI \([0-9]*\).*/\1/p' include/pitot/base.h)
CC := $(if $(filter default,$(origin CC)),gcc,$(CC))
CXX := $(if $(filter default,$(origin CXX)),g++,$(CXX))
B := $(if $(filter gcc-release,$(CC)-$(MODE)),build,build/$(notdir $(CC))-$(MODE))

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Wvla
PKG := libcjson zlib
VIEW_PKG := cairo cairo-svg cairo-pdf libpng ncursesw libcjson zlib
OPTIMIZE_release := -O3 -g
OPTIMIZE_asan := -O1 -g -fsanitize=address,undefined,float-cast-overflow -fno-sanitize-recover=all -fno-omit-frame-pointer
OPTIMIZE_tsan := -O1 -g -fsanitize=thread -DPITOT_NO_CLONES
OPTIMIZE_valgrind := -O1 -g -DPITOT_NO_CLONES
CFLAGS ?= $(OPTIMIZE_$(MODE))
# gcc's and clang's own OpenMP; -ffp-contract=off: the same arithmetic in every clone of a hot loop
ALL_CFLAGS = -std=c11 -D_GNU_SOURCE $(WARN) $(CFLAGS) -fPIC -fvisibility=hidden -ffp-contract=off -fno-math-errno -fopenmp \
             -Iinclude -Isrc -MMD -MP
VIEW_CFLAGS = -Iviewer -DNCURSES_WIDECHAR=1 $(shell pkg-config --cflags $(VIEW_PKG) 2>/dev/null)
LIBS = -llapacke -lopenblas $(shell pkg-config --libs $(PKG) 2>/dev/null) -lm -lpthread
TEST_LIBS = -lcmocka
# the command and the tests take OpenBLAS's OpenMP build by path; DT_RPATH, so that what LAPACKE pulls in comes from there as well
OPENMP_BLAS = -L$(OPENBLAS) -Wl,--disable-new-dtags,-rpath,$(OPENBLAS)
VIEW_LIBS = $(shell pkg-config --libs $(VIEW_PKG) 2>/dev/null)

LIB_C := $(sort $(wildcard src/*/*.c src/*/*/*.c probes/*.c))
VIEW_C := $(sort $(wildcard viewer/*.c viewer/*/*.c))
VIEW_PARTS := $(filter-out viewer/main.c,$(VIEW_C))
TABLES := probes ops optimizers wrappers formats
UNIT := $(sort $(wildcard tests/unit/*.c))
FUZZ := $(sort $(wildcard tests/fuzz/*.c))
FAULT := $(sort $(wildcard tests/fault/*.c))
EXAMPLES := $(sort $(wildcard examples/*.c))
BENCH := $(sort $(wildcard tests/bench/*.c))

objects = $(patsubst %.c,$(B)/$(1)/%.o,$(2))
F_OBJ := $(call objects,float,$(LIB_C)) $(patsubst %,$(B)/float/tables/%.o,$(TABLES))
D_OBJ := $(call objects,double,$(LIB_C)) $(patsubst %,$(B)/double/tables/%.o,$(TABLES))
FV_OBJ := $(call objects,float,$(VIEW_PARTS)) $(B)/float/tables/commands.o $(B)/float/tables/pages.o
DV_OBJ := $(call objects,double,$(VIEW_PARTS)) $(B)/double/tables/commands.o $(B)/double/tables/pages.o

Q := $(if $(V),,@)
say = $(if $(V),,@printf '  %-5s %s\n' $(1) $(2))

.PHONY: cases all help deps readme demo test check test-asan test-tsan test-valgrind bench install uninstall clean format-check FORCE
.DEFAULT_GOAL := all
.SECONDARY:

all: deps $(B)/pitot $(B)/pitot_d $(B)/libpitot.so $(B)/libpitot.a $(B)/libpitot_d.so $(B)/libpitot_d.a $(B)/pitot.pc

help: ## this text
	@sed -n 's/^\([a-z_-]*\):.*## \(.*\)/  make \1	\2/p' Makefile | expand -t 24
	@echo '  variables: CC=gcc|clang MODE=release|asan|tsan|valgrind PREFIX DESTDIR V=1'

deps: ## the packages that the build needs: installs them where it may, says what to type where it may not
	@sh tests/deps.sh $(CC)

# ---- registries: one table a folder, from the file names; written only when it changes ----

TABLE_probes = probes/*.c|const pitot_probe|pitot_probe_|probe_table|pitot/probe.h
TABLE_ops = src/net/ops/*.c|const op|op_|op_table|net/op.h
TABLE_optimizers = src/optim/*.c|const pitot_optimizer|pitot_optimizer_|optimizer_table|pitot/optim.h
TABLE_wrappers = src/optim/wrap/*.c|const pitot_optimizer|pitot_wrapper_|wrapper_table|pitot/optim.h
TABLE_formats = src/data/formats/*.c|const pitot_data_format|data_format_|data_format_table|pitot/data.h
TABLE_pages = viewer/pages/*.c|const page|page_|page_table|term/page.h
TABLE_commands = viewer/commands/*.c|const command|command_|command_table|command.h

$(patsubst %,$(B)/tables/%.c,$(TABLES) commands pages): $(B)/tables/%.c: FORCE
	@mkdir -p $(@D)
	@sh tests/table.sh '$(TABLE_$*)' > $@.tmp
	@if cmp -s $@.tmp $@; then rm $@.tmp; else mv $@.tmp $@; fi
FORCE:

# ---- compiling ----

$(B)/float/tables/%.o: $(B)/tables/%.c | deps
	$(call say,CC,tables/$*)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -Iviewer -c $< -o $@
$(B)/double/tables/%.o: $(B)/tables/%.c | deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -DPITOT_DOUBLE -Iviewer -c $< -o $@
$(B)/float/viewer/%.o: viewer/%.c | deps
	$(call say,CC,viewer/$*)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(VIEW_CFLAGS) -c $< -o $@
$(B)/double/viewer/%.o: viewer/%.c | deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(VIEW_CFLAGS) -DPITOT_DOUBLE -c $< -o $@
$(B)/float/tests/%.o: tests/%.c | deps
	$(call say,CC,tests/$*)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(VIEW_CFLAGS) -c $< -o $@
$(B)/double/tests/%.o: tests/%.c | deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) $(VIEW_CFLAGS) -DPITOT_DOUBLE -c $< -o $@
$(B)/float/%.o: %.c | deps
	$(call say,CC,$*)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -c $< -o $@
$(B)/double/%.o: %.c | deps
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -DPITOT_DOUBLE -c $< -o $@

# ---- libraries: static ones are one object whose inner symbols are local, so that no name of ours can meet one of the host's ----

$(B)/float.a: $(F_OBJ)
	@rm -f $@ && ar rcs $@ $^
$(B)/double.a: $(D_OBJ)
	@rm -f $@ && ar rcs $@ $^
$(B)/libpitot.a: $(F_OBJ)
$(B)/libpitot_d.a: $(D_OBJ)
$(B)/libpitot.a $(B)/libpitot_d.a:
	$(call say,AR,$(@F))
	$(Q)ld -r -o $(@:.a=.o) $^ && objcopy --localize-hidden $(@:.a=.o) && rm -f $@ && ar rcs $@ $(@:.a=.o)
$(B)/libpitot.so: $(F_OBJ)
$(B)/libpitot_d.so: $(D_OBJ)
$(B)/libpitot.so $(B)/libpitot_d.so: src/pitot.map
	$(call say,LD,$(@F))
	$(Q)$(CC) $(CFLAGS) -shared -fopenmp -Wl,-soname,$(@F).$(ABI) -Wl,-z,defs -Wl,--version-script=src/pitot.map -o $@.$(VERSION) \
	    $(filter %.o,$^) $(LIBS)
	@ln -sf $(@F).$(VERSION) $@.$(ABI) && ln -sf $(@F).$(ABI) $@

$(B)/pitot: $(FV_OBJ) $(B)/float/viewer/main.o $(B)/float.a
$(B)/pitot_d: $(DV_OBJ) $(B)/double/viewer/main.o $(B)/double.a
$(B)/pitot $(B)/pitot_d:
	$(call say,LD,$(@F))
	$(Q)$(CC) $(CFLAGS) -fopenmp $(OPENMP_BLAS) -o $@ $^ $(LIBS) $(VIEW_LIBS)

# written anew when PREFIX changes
$(B)/pitot.pc: FORCE
	@mkdir -p $(B)
	@printf 'prefix=%s\nlibdir=$${prefix}/lib\nincludedir=$${prefix}/include\n\nName: pitot\nDescription: %s\nVersion: %s\nLibs: %s\nLibs.private: %s\nCflags: %s\n' \
	    '$(PREFIX)' 'probes on neural-network training runs' '$(VERSION)' '-L$${libdir} -lpitot' \
	    '$(LIBS) $(if $(findstring clang,$(CC)),-lomp,-lgomp)' '-I$${includedir}' > $@.tmp
	@if cmp -s $@.tmp $@; then rm $@.tmp; else mv $@.tmp $@; fi
	@sed -e 's/^Name: pitot/Name: pitot_d/' -e 's/-lpitot/-lpitot_d/' -e 's/^Cflags:.*/& -DPITOT_DOUBLE/' $@ > $(B)/pitot_d.pc

install: all ## into PREFIX (default /usr/local), below DESTDIR
	@mkdir -p $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/pitot
	install -m755 $(B)/pitot $(B)/pitot_d $(DESTDIR)$(PREFIX)/bin
	install -m644 $(B)/libpitot.a $(B)/libpitot_d.a $(DESTDIR)$(PREFIX)/lib
	cp -d $(foreach l,libpitot libpitot_d,$(foreach v,so so.$(ABI) so.$(VERSION),$(B)/$(l).$(v))) $(DESTDIR)$(PREFIX)/lib
	install -m644 include/pitot.h $(DESTDIR)$(PREFIX)/include
	install -m644 include/pitot/*.h $(DESTDIR)$(PREFIX)/include/pitot
	install -m644 $(B)/pitot.pc $(B)/pitot_d.pc $(DESTDIR)$(PREFIX)/lib/pkgconfig

uninstall: ## what install put there
	cd $(DESTDIR)$(PREFIX) && rm -rf bin/pitot bin/pitot_d lib/libpitot.* lib/libpitot_d.* include/pitot.h include/pitot lib/pkgconfig/pitot.pc \
	    lib/pkgconfig/pitot_d.pc

# ---- using it, testing it ----

demo: all ## trains a small conv net on generated digits with probes on, draws what happened; leaves runs/demo
	@sh examples/demo.sh $(B)/pitot

# unit tests see the inner symbols; each is built for float and, unless its name ends in _float, for double
F_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/%,$(UNIT))
D_TESTS := $(patsubst tests/unit/%.c,$(B)/tests/%_d,$(filter-out %_float.c,$(UNIT)))
MORE_TESTS := $(patsubst tests/%.c,$(B)/tests/%,$(FUZZ) $(FAULT)) $(patsubst %.c,$(B)/%,$(EXAMPLES))

$(B)/tests/%_d: $(B)/double/tests/unit/%.o $(DV_OBJ) $(B)/double.a
	$(call say,LD,$(@F))
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -fopenmp $(OPENMP_BLAS) -o $@ $^ $(LIBS) $(VIEW_LIBS) $(TEST_LIBS)
$(B)/tests/%: $(B)/float/tests/unit/%.o $(FV_OBJ) $(B)/float.a
	$(call say,LD,$(@F))
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -fopenmp $(OPENMP_BLAS) -o $@ $^ $(LIBS) $(VIEW_LIBS) $(TEST_LIBS)
$(B)/tests/fuzz/%: $(B)/float/tests/fuzz/%.o $(FV_OBJ) $(B)/float.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -fopenmp $(OPENMP_BLAS) -o $@ $^ $(LIBS) $(VIEW_LIBS)
$(B)/tests/fault/%: $(B)/float/tests/fault/%.o $(FV_OBJ) $(B)/float.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -fopenmp $(OPENMP_BLAS) -o $@ $^ $(LIBS) $(VIEW_LIBS)
# a host compiled, and linked, as hosts should not be
$(B)/float/tests/hostile/%.o: tests/hostile/%.c | deps
	$(call say,CC,tests/hostile/$*)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CFLAGS) -Ofast -funsafe-math-optimizations -c $< -o $@
$(B)/tests/fault/hostile: $(B)/float/tests/fault/hostile.o $(B)/float/tests/hostile/host.o $(FV_OBJ) $(B)/float.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -Ofast -fopenmp $(OPENMP_BLAS) -o $@ $^ $(LIBS) $(VIEW_LIBS)
# its calls of base/blas.h, and the parts of updates, go through the bench, which counts and times them
$(B)/tests/bench/optim_matrix: LIBS += $(foreach f,gemm syrk trsm orthonormal inverse gram eigenvectors,-Wl,--wrap=blas_$(f)) \
    $(foreach f,kronecker_average kronecker_moments kronecker_squares kronecker_add_squares kronecker_renew kronecker_direction singd_renew \
    singd_direction blocks_gather block_gather renewal_run renewal_step block_apply newton_schulz,-Wl,--wrap=$(f))
$(B)/tests/bench/%: $(B)/float/tests/bench/%.o $(FV_OBJ) $(B)/float.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -fopenmp $(OPENMP_BLAS) -o $@ $^ $(LIBS) $(VIEW_LIBS)
$(B)/examples/%: $(B)/float/examples/%.o $(B)/libpitot.a
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -fopenmp $(OPENMP_BLAS) -o $@ $^ $(LIBS)

test: cases all $(F_TESTS) $(D_TESTS) $(MORE_TESTS) ## the whole suite; closes with "N passed, N failed"
	@B=$(B) MODE=$(MODE) CC=$(CC) CXX=$(CXX) sh tests/run.sh

cases:
	@sh tests/cases.sh

check: test format-check ## test, and the style checks

test-asan: ## the suite under AddressSanitizer and UBSan
	@$(MAKE) MODE=asan test

test-tsan: ## unit tests and fuzzers under ThreadSanitizer, by clang, whose OpenMP it understands
	@$(MAKE) CC=clang MODE=tsan test

test-valgrind: ## unit tests and fuzzers under valgrind
	@$(MAKE) MODE=valgrind test

bench: all $(patsubst tests/bench/%.c,$(B)/tests/bench/%,$(BENCH)) ## our step against the sgemm rate and PyTorch, as ratios of one run
	@B=$(B) sh tests/bench/run.sh

readme: all ## the registries' tables in README.md
	@sh tests/readme.sh $(B)/pitot

format-check: ## layout, names and words of the source
	@sh tests/style.sh

clean: ## what was built; runs/ stays
	rm -rf build

-include $(shell find $(B) -name '*.d' 2>/dev/null)
