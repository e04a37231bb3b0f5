# `make help` lists the targets.  Everything is built under build/; what a
# folder holds is built by pattern: a new source file needs no line here.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SUFFIXES:

TOP := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
B   := build

.PHONY: all demo demo-stop test test-full bench lint install clean help
.PHONY: check-asan check-tsan check-valgrind fuzz
.PHONY: modules agent unit replay tools redis nginx asan tsan fuzzers

all: modules agent unit replay tools redis

ifneq ($(filter-out clean help demo-stop,$(or $(MAKECMDGOALS),all)),)
include $(B)/config.mk
endif

build/config.mk: configure.sh
	@./configure.sh $(CONFIGURE_ARGS)
	@touch $@

# A tree with sanitizers is made by this makefile again, with B= and SAN=.  Only
# build/asan has an nginx of its own: all of the server is to have them.

NGINX_ASAN := t/sanitize/nginx t/sanitize/nginx.c

ifneq ($(B),build)
$(B)/config.mk: build/config.mk $(NGINX_ASAN)
	@mkdir -p $(B)
	@$(if $(filter %/asan,$(B)),src=$$(t/sanitize/nginx) && sed \
	  -e 's|^NGINX_TREE = .*|NGINX_TREE = installed|' \
	  -e "s|^NGINX_SRC = .*|NGINX_SRC = $$src|" \
	  -e "s|^NGINX = .*|NGINX = $$src/objs/nginx|",cat) build/config.mk >$@
endif


# What is built is named; V=1 shows the commands.

ifneq ($(V),1)
say      = @printf '  %-7s%s\n' $(1) $(patsubst $(TOP)/%,%,$@);
NGX_QUIET := -s
endif


# Flags

WARN     := -Wall -Wextra -Werror
INCLUDE  := -I$(TOP)/include -I$(TOP)/common
CPPFLAGS := $(INCLUDE) -MMD -MP

ifeq ($(SAN),)
OPT      := -g -O2 -fstack-protector-strong -U_FORTIFY_SOURCE \
            -D_FORTIFY_SOURCE=2
LDFLAGS  := -pie -Wl,-z,relro,-z,now -Wl,--as-needed
NGX_LD   := -Wl,-z,relro,-z,now
else
# gcc's warnings that follow the flow of values have false alarms then, as its
# manual says
OPT      := -g -O1 -fno-omit-frame-pointer -fsanitize=$(SAN) \
            -fno-sanitize-recover=undefined \
            $(if $(filter clang%,$(CC)),,-Wno-format-truncation \
            -Wno-maybe-uninitialized -Wno-stringop-truncation)
LDFLAGS  := -pie -fsanitize=$(SAN:fuzzer-no-link%=fuzzer%)
# kept in memory, a module can be named in what is reported at the end
NGX_LD   := -fsanitize=$(SAN) -Wl,-z,nodelete
endif

CFLAGS   := -std=gnu11 -fPIE $(WARN) $(OPT)

COMMON_LIBS = $(SODIUM_LIBS) $(YAJL_LIBS)
AGENT_CFLAGS = $(CURL_CFLAGS) $(SSH2_CFLAGS) $(OPENSSL_CFLAGS) \
               $(SQLITE3_CFLAGS) -I$(TOP)/agent -pthread
AGENT_LIBS  = $(CURL_LIBS) $(SSH2_LIBS) $(OPENSSL_LIBS) $(SQLITE3_LIBS) \
              $(COMMON_LIBS) -pthread
KEYS_LIBS   = $(COMMON_LIBS) $(HIREDIS_LIBS)


# Programs

COMMON_SRC := $(wildcard common/*.c)
AGENT_SRC  := $(wildcard agent/*.c agent/actions/*.c agent/platform/linux_*.c)
UNIT_SRC   := $(wildcard t/unit/*.c)
FUZZ_SRC   := $(filter-out t/fuzz/replay.c,$(wildcard t/fuzz/*.c))

COMMON_LIB := $(B)/common/libvmops_common.a
AGENT_LIB  := $(B)/agent/libvmops_agent.a
UNIT       := $(UNIT_SRC:%.c=$(B)/%)
AGENT_UNIT := $(filter $(B)/t/unit/agent_%,$(UNIT))
FUZZ       := $(FUZZ_SRC:%.c=$(B)/%)

$(B)/%.o: %.c $(B)/config.mk
	@mkdir -p $(@D)
	$(call say,CC)$(CC) $(CPPFLAGS) $(CFLAGS) $(EXTRA_CFLAGS) -c -o $@ $<

$(COMMON_LIB): $(COMMON_SRC:%.c=$(B)/%.o)
$(AGENT_LIB): $(patsubst %.c,$(B)/%.o,$(filter-out agent/main.c,$(AGENT_SRC)))

%.a:
	@mkdir -p $(@D); rm -f $@
	$(call say,AR)$(AR) rcs $@ $^

$(B)/agent/vmops-agent: $(B)/agent/main.o $(AGENT_LIB) $(COMMON_LIB)
	$(call say,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(AGENT_LIBS)

# an agent that dies where a test says, forgets, or lacks memory; see its source
HOOKED := $(B)/t/agent/vmops-agent-hooked
HOOKS  := $(shell sed -n 's/^HOOK.[a-z0-9_ *]*, \([a-z0-9_]*\).*/-Wl,--wrap=\1/p' \
          t/agent/hooked.c)

$(HOOKED): $(B)/t/agent/hooked.o $(B)/agent/main.o $(AGENT_LIB) $(COMMON_LIB)
	$(call say,LINK)$(CC) $(LDFLAGS) $(HOOKS) -o $@ $^ $(AGENT_LIBS)

$(UNIT): $(B)/%: $(B)/%.o $(COMMON_LIB)
	$(call say,LINK)$(CC) $(LDFLAGS) -o $@ -Wl,--start-group $^ -Wl,--end-group \
	  $(AGENT_LIBS) $(CMOCKA_LIBS)

$(AGENT_UNIT): $(AGENT_LIB)

# a parser with libFuzzer, or with the main() which replays the corpus
$(FUZZ): $(B)/%: $(B)/%.o $(AGENT_LIB) $(COMMON_LIB) \
                 $(if $(filter fuzzer%,$(SAN)),,$(B)/t/fuzz/replay.o)
	$(call say,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(AGENT_LIBS)

$(B)/agent/%.o $(B)/t/agent/%.o $(B)/t/fuzz/%.o: \
	EXTRA_CFLAGS = $(AGENT_CFLAGS)
$(B)/t/unit/%.o: EXTRA_CFLAGS = $(AGENT_CFLAGS) $(CMOCKA_CFLAGS)

agent:  $(if $(AGENT_SRC),$(B)/agent/vmops-agent)
unit:   $(UNIT) $(HOOKED)
replay: $(FUZZ)

tools: $(patsubst conf/vmops_%.c,$(B)/conf/vmops-%,$(wildcard conf/vmops_*.c))

$(B)/conf/vmops-%: $(B)/conf/vmops_%.o $(COMMON_LIB)
	$(call say,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(KEYS_LIBS)

-include $(shell find $(wildcard $(addprefix $(B)/,common agent conf t)) \
          /dev/null -name '*.d')


# nginx modules: nginx's own build, in build/nginx.  It knows no dependency of
# ours on headers; the compiler's .d files are added to its makefile.

MODULE_CONFIGS := $(wildcard ngx_*_module/config)
MODULE_SRC     := $(wildcard ngx_*_module/*.[ch] ngx_*_module/*.def \
                  common/*.[ch] common/ngx/*.[ch] include/*.h include/*.def)
MODULES        := $(MODULE_CONFIGS:%/config=$(B)/modules/%.so)

# a source more or less: nginx has to configure again
NGX_SOURCES := $(wildcard ngx_*_module/*.c common/*.c common/ngx/*.c)

$(B)/nginx.sources: FORCE
	@mkdir -p $(B)
	@echo $(NGX_SOURCES) | cmp -s - $@ || echo $(NGX_SOURCES) >$@

FORCE:

NGX_OBJS := $(TOP)/$(B)/nginx
NGX_CC   := $(WARN) $(OPT) $(INCLUDE) -I$(TOP)/common/ngx -MMD -MP
NGX_ADD  := --builddir=$(NGX_OBJS) --with-cc-opt='$(NGX_CC)' \
            --with-ld-opt='$(NGX_LD)' \
            $(MODULE_CONFIGS:%/config=--add-dynamic-module=$(TOP)/%)
NGX_MAKE  = +$(call say,NGINX)$(MAKE) $(NGX_QUIET) --no-print-directory -C $(NGX_WORK) \
            -f $(NGX_OBJS)/Makefile \
            $(patsubst %,-f %,$(shell find $(NGX_OBJS)/addon 2>/dev/null -name '*.d'))

ifeq ($(NGINX_TREE),source)

# nginx's configure writes into its tree: a copy of it is used
NGX_WORK  := $(TOP)/$(B)/nginx-src
NGX_FLAGS := --with-compat --with-debug --with-threads --with-http_ssl_module \
             --with-http_v2_module --with-http_realip_module \
             --with-http_auth_request_module --with-pcre-jit

$(B)/nginx/Makefile: $(MODULE_CONFIGS) $(B)/config.mk $(B)/nginx.sources
	$(call say,NGINX)rm -rf $(B)/nginx $(B)/nginx-src
	@cp -r $(NGINX_SRC) $(B)/nginx-src
	@cd $(B)/nginx-src && conf=configure && \
	  { [ -x $$conf ] || conf=auto/configure; } && \
	  ./$$conf --prefix=$(TOP)/$(B)/nginx-root $(NGX_FLAGS) $(NGX_ADD) \
	  >$(TOP)/$(B)/nginx-configure.log || \
	  { tail $(TOP)/$(B)/nginx-configure.log; exit 1; }

$(B)/nginx/nginx: $(B)/nginx/Makefile
	$(NGX_MAKE) binary

nginx: $(B)/nginx/nginx

else

# the flags must be those of the installed nginx, or it refuses the modules
NGX_WORK  := $(NGINX_SRC)

$(B)/nginx/Makefile: $(MODULE_CONFIGS) $(B)/config.mk $(B)/nginx.sources
	$(call say,NGINX)rm -rf $(B)/nginx
	@mkdir -p $(B)
	@cd $(NGX_WORK) && . ./conf_flags && \
	  ./configure "$${NGX_CONF_FLAGS[@]}" $(NGX_ADD) \
	  >$(TOP)/$(B)/nginx-configure.log || \
	  { tail $(TOP)/$(B)/nginx-configure.log; exit 1; }

nginx:

endif

modules: nginx $(MODULES)

ifneq ($(MODULES),)
$(MODULES) &: $(B)/nginx/Makefile $(MODULE_SRC)
	$(NGX_MAKE) modules
	@mkdir -p $(B)/modules
	@for so in $(notdir $(MODULES)); do \
	  cp $(B)/nginx/$$so $(B)/modules/$$so.new && \
	  mv $(B)/modules/$$so.new $(B)/modules/$$so || exit 1; done
endif


# The function library and the users of Redis, from one table.

REDIS_OUT := $(B)/redis/vmops.lua $(B)/redis/users.acl

redis: $(REDIS_OUT)

$(REDIS_OUT) &: redis/generate include/vmops_functions.def \
                include/vmops_limits.h $(wildcard redis/src/*.lua)
	$(call say,LUA)perl redis/generate $(B)/redis


# The demo: PVE_URL=, PVE_USER= and the like reach it by the environment.

demo: all
	@conf/demo up

demo-stop:
	@conf/demo down


# Tests: Perl files and the unit tests' programs (TAP too) under one prove.
# TESTS= names some of them only.  t/run-test runs one of them.

TESTS ?= $(wildcard t/*.t) $(UNIT)
PROVE := PERL5LIB=t/lib prove -e t/run-test --timer --failures \
         --formatter VMOps::Failures
JOBS  ?= 2

export CMOCKA_MESSAGE_OUTPUT := TAP

test: ROUNDS ?= ci
test-full: ROUNDS ?= full
test test-full: all
	@t/openapi/install >/dev/null
	ROUNDS=$(ROUNDS) $(PROVE) -j$(JOBS) $(TESTS)

# The same code with sanitizers, in trees of its own: TESTS are those which say
# "# tags: asan" or "# tags: tsan" in one of their lines.

tagged = $(shell grep -ls '^\# tags:.*\b$(1)\b' t/*.t)

AGAIN = +@$(MAKE) --no-print-directory

asan: build/config.mk
	$(AGAIN) B=$(B)/asan SAN=address,undefined all

tsan: build/config.mk
	$(AGAIN) B=$(B)/tsan SAN=thread agent unit

check-asan: ROUNDS ?= ci
check-asan: TESTS = $(call tagged,asan) $(UNIT_SRC:%.c=$(B)/asan/%)
check-asan: asan
	. t/sanitize/options && ROUNDS=$(ROUNDS) VMOPS_BUILD=$(TOP)/$(B)/asan \
	  $(PROVE) -j$(JOBS) $(TESTS)

check-tsan: ROUNDS ?= ci
check-tsan: TESTS = $(call tagged,tsan) $(AGENT_UNIT:$(B)/%=$(B)/tsan/%)
check-tsan: all tsan
	. t/sanitize/options && ROUNDS=$(ROUNDS) \
	  VMOPS_AGENT=$(TOP)/$(B)/tsan/agent/vmops-agent \
	  $(PROVE) -j$(JOBS) $(TESTS)

MEMCHECK := valgrind --quiet --error-exitcode=99 --leak-check=full

check-valgrind: unit
	@command -v valgrind >/dev/null || { echo "check-valgrind needs valgrind:" \
	  "./configure.sh check-valgrind" >&2; exit 1; }
	$(PROVE) -j$(JOBS) -e 't/run-test $(MEMCHECK)' $(UNIT)


# Fuzzing with clang's libFuzzer, each target for so long.

SECONDS ?= 60

fuzzers: $(FUZZ)

fuzz: build/config.mk
	@command -v clang >/dev/null || { echo "fuzz needs clang:" \
	  "./configure.sh fuzz" >&2; exit 1; }
	$(AGAIN) B=$(B)/fuzz CC=clang SAN=fuzzer-no-link,address,undefined \
	  fuzzers
	@t/fuzz/run $(B)/fuzz $(SECONDS) $(JOBS)


# Lint: the look of the house first, then what the tools find.

LINT_SH   := configure.sh .ci/run t/sanitize/nginx t/sanitize/options \
             t/fuzz/run t/openapi/install
LINT_PERL := $(wildcard conf/stack conf/demo conf/VMOps/*.pm redis/generate docs/generate \
             t/*.t t/lib/*.pm t/lib/*/*.pm t/pve/pve-sim t/bench/run \
             t/bench/*.pm t/lint/style t/run-test)
LINT_C    := $(wildcard agent/*.[ch] agent/*/*.[ch] common/*.[ch] \
             common/ngx/*.[ch] ngx_*_module/*.[ch] ngx_*_module/*.def \
             include/*.h include/*.def conf/*.c t/unit/*.[ch] t/agent/*.c \
             t/fuzz/*.c t/sanitize/*.c t/bench/*.[ch])
CPPCHECK  := cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr \
             --enable=warning,performance,portability \
             --suppressions-list=t/lint/cppcheck.txt $(INCLUDE) -Iagent -j2 \
             -D'__VA_OPT__(...)=' -DNGX_SSL=1 -Dnginx_version=1022001

lint: redis
	@for tool in shellcheck cppcheck luacheck; do \
	  command -v $$tool >/dev/null || { echo "lint needs more tools:" \
	  "apt-get install --no-install-recommends shellcheck cppcheck" \
	  "lua-check" >&2; exit 1; }; done
	perl t/lint/style $(LINT_C) $(LINT_PERL) $(LINT_SH)
	shellcheck $(LINT_SH)
	@for f in $(LINT_PERL); do \
	  perl -Iconf -It/lib -wc $$f 2>&1 | grep -v 'syntax OK$$' && exit 1; \
	done; true
	$(CPPCHECK) $(filter %.c,$(LINT_C))
	luacheck --quiet --config t/lint/luacheckrc $(B)/redis/vmops.lua
	redis/generate --check
	docs/generate --check


# What a host needs; DESTDIR= for packages.

PREFIX   ?= /usr/local
NGX_DEST ?= /usr/lib/nginx/modules
INSTALL  := install -D
SHARE     = $(DESTDIR)$(PREFIX)/share/vmops

install: all
	for so in $(MODULES); do \
	  $(INSTALL) -m 644 $$so $(DESTDIR)$(NGX_DEST)/$${so##*/} || exit 1; done
	$(INSTALL) -m 755 $(B)/agent/vmops-agent $(DESTDIR)$(PREFIX)/bin/vmops-agent
	$(INSTALL) -m 755 $(B)/conf/vmops-keys $(DESTDIR)$(PREFIX)/sbin/vmops-keys
	for file in conf/nginx.conf.in conf/vmops.conf conf/legacy.conf \
	    redis/redis.conf \
	    $(B)/redis/vmops.lua $(B)/redis/users.acl; do \
	  $(INSTALL) -m 644 $$file $(SHARE)/$${file##*/} || exit 1; done


# Rates, latencies and memory on this machine, beside peers in the same run.

BENCH_SRC := $(wildcard t/bench/*.c)

$(B)/t/bench/load: $(BENCH_SRC:%.c=$(B)/%.o) $(COMMON_LIB)
	$(call say,LINK)$(CC) $(LDFLAGS) -o $@ $^ $(OPENSSL_LIBS) $(COMMON_LIBS)

bench: all $(B)/t/bench/load
	perl t/bench/run $(BENCH)


clean:
	rm -rf $(B)

help:
	@echo 'make             both nginx modules, the agent, the tools'
	@echo 'make demo        the main job from nothing; PVE_URL=https://...'
	@echo '                 PVE_USER=user@realm!token for a real Proxmox VE;'
	@echo '                 PVE_NODE=, PVE_VMID=, PVE_GUEST=qemu|lxc for the'
	@echo '                 stopped guest that it starts'
	@echo 'make demo-stop   stops what the demo left running'
	@echo 'make test        all tests; TESTS="t/a.t t/b.t" for some of them,'
	@echo '                 JOBS=2 at a time'
	@echo 'make test-full   the same with many more rounds'
	@echo 'make check-asan  nginx, both modules and the agent with Address- and'
	@echo '                 UndefinedBehaviorSanitizer: unit tests, and tests'
	@echo '                 with the tag asan'
	@echo 'make check-tsan  the agent with ThreadSanitizer: tests tagged tsan'
	@echo 'make check-valgrind  the unit tests under memcheck'
	@echo 'make fuzz        every parser; SECONDS=60 for each'
	@echo 'make bench       rates, latencies, memory; BENCH=--quick'
	@echo 'make lint        style, shellcheck, perl -c, cppcheck, luacheck, and'
	@echo '                 that what is generated is new'
	@echo 'make install     DESTDIR=, PREFIX=, NGX_DEST= say where'
	@echo 'make clean       removes build/'
