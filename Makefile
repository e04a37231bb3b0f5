# `make help` lists the targets.  Everything is built under build/; what a
# folder holds is built by pattern: a new source file needs no line here.

SHELL := /bin/bash
.DELETE_ON_ERROR:
.SUFFIXES:

TOP := $(patsubst %/,%,$(dir $(abspath $(lastword $(MAKEFILE_LIST)))))
B   := build

.PHONY: all demo demo-stop test test-full check-asan fuzz bench lint install clean \
        help
.PHONY: modules agent unit tools redis asan nginx

all: modules agent unit tools redis

ifneq ($(filter-out clean help demo-stop,$(or $(MAKECMDGOALS),all)),)
include $(B)/config.mk
endif

$(B)/config.mk: configure.sh
	@./configure.sh $(CONFIGURE_ARGS)
	@touch $@


# Flags

WARN     := -Wall -Wextra -Werror
INCLUDE  := -I$(TOP)/include -I$(TOP)/common
HARDEN   := -fstack-protector-strong
CPPFLAGS := $(INCLUDE) -MMD -MP
CFLAGS   := -std=gnu11 -g -O2 -fPIE $(WARN) $(HARDEN) \
            -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
LDFLAGS  := -pie -Wl,-z,relro,-z,now -Wl,--as-needed

# The same code with sanitizers, in a tree of its own.  Warnings that follow the
# flow of values have false alarms then, as gcc's manual says.
ASAN        := -fsanitize=address,undefined
ASAN_CFLAGS := -std=gnu11 -g -O1 -fPIE -fno-omit-frame-pointer $(WARN) \
               -Wno-format-truncation -Wno-maybe-uninitialized \
               $(ASAN) -fno-sanitize-recover=undefined
ASAN_LDFLAGS := -pie $(ASAN)

COMMON_LIBS = $(SODIUM_LIBS) $(YAJL_LIBS)
AGENT_CFLAGS = $(CURL_CFLAGS) $(SSH2_CFLAGS) $(OPENSSL_CFLAGS) \
               $(SQLITE3_CFLAGS) -I$(TOP)/agent -pthread
AGENT_LIBS  = $(CURL_LIBS) $(SSH2_LIBS) $(OPENSSL_LIBS) $(SQLITE3_LIBS) \
              $(COMMON_LIBS) -pthread
KEYS_LIBS   = $(COMMON_LIBS) $(HIREDIS_LIBS)


# Programs.  Every rule stands twice by this template: in build/ and, with
# sanitizers, in build/asan/.

COMMON_SRC := $(wildcard common/*.c)
AGENT_SRC  := $(wildcard agent/*.c agent/actions/*.c agent/platform/linux_*.c)
UNIT_SRC   := $(wildcard t/unit/*.c)
AGENT_UNIT_SRC := $(wildcard t/unit/agent_*.c)

# $1: tree, $2: name of its CFLAGS, $3: name of its LDFLAGS
define programs

$1/%.o: %.c $(B)/config.mk
	@mkdir -p $$(@D)
	$$(CC) $$(CPPFLAGS) $$($2) $$(EXTRA_CFLAGS) -c -o $$@ $$<

$1/common/libvmops_common.a: $(COMMON_SRC:%.c=$1/%.o)
	@mkdir -p $$(@D); rm -f $$@
	$$(AR) rcs $$@ $$^

$1/agent/libvmops_agent.a: $(AGENT_SRC:%.c=$1/%.o)
	@mkdir -p $$(@D); rm -f $$@
	$$(AR) rcs $$@ $$^

$1/agent/vmops-agent: $1/agent/libvmops_agent.a \
                      $1/common/libvmops_common.a
	$$(CC) $$($3) -o $$@ $1/agent/main.o $$^ $$(AGENT_LIBS)

$(UNIT_SRC:%.c=$1/%): $1/%: $1/%.o $1/common/libvmops_common.a
	$$(CC) $$($3) -o $$@ -Wl,--start-group $$^ -Wl,--end-group \
	  $$(AGENT_LIBS) $$(CMOCKA_LIBS)

$(AGENT_UNIT_SRC:%.c=$1/%): $1/%: $1/%.o $1/agent/libvmops_agent.a

$1/agent/%.o: EXTRA_CFLAGS = $$(AGENT_CFLAGS)
$1/t/unit/%.o: EXTRA_CFLAGS = $$(AGENT_CFLAGS) $$(CMOCKA_CFLAGS)
endef

$(eval $(call programs,$(B),CFLAGS,LDFLAGS))
$(eval $(call programs,$(B)/asan,ASAN_CFLAGS,ASAN_LDFLAGS))

agent: $(if $(AGENT_SRC),$(B)/agent/vmops-agent)
unit:  $(UNIT_SRC:%.c=$(B)/%)
asan:  $(UNIT_SRC:%.c=$(B)/asan/%) $(if $(AGENT_SRC),$(B)/asan/agent/vmops-agent)

tools: $(patsubst conf/vmops_%.c,$(B)/conf/vmops-%,$(wildcard conf/vmops_*.c))

$(B)/conf/vmops-%: $(B)/conf/vmops_%.o $(B)/common/libvmops_common.a
	$(CC) $(LDFLAGS) -o $@ $^ $(KEYS_LIBS)

-include $(shell find $(wildcard $(addprefix $(B)/,common agent conf t/unit \
          t/bench asan)) /dev/null -name '*.d')


# nginx modules: nginx's own build, in build/nginx.  It knows no dependency of
# ours on headers; the compiler's .d files are added to its makefile.

MODULE_CONFIGS := $(wildcard ngx_*_module/config)
MODULE_SRC     := $(wildcard ngx_*_module/*.[ch] common/*.[ch] \
                  common/ngx/*.[ch] include/*.h include/*.def)
MODULES        := $(MODULE_CONFIGS:%/config=$(B)/modules/%.so)

# a source more or less: nginx has to configure again
NGX_SOURCES := $(wildcard ngx_*_module/*.c common/*.c common/ngx/*.c)

$(B)/nginx.sources: FORCE
	@mkdir -p $(B)
	@echo $(NGX_SOURCES) | cmp -s - $@ || echo $(NGX_SOURCES) >$@

FORCE:

NGX_OBJS := $(TOP)/$(B)/nginx
NGX_CC   := -g -O2 $(WARN) $(HARDEN) -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2 \
            $(INCLUDE) -I$(TOP)/common/ngx -MMD -MP
NGX_LD   := -Wl,-z,relro,-z,now
NGX_ADD  := --builddir=$(NGX_OBJS) --with-cc-opt='$(NGX_CC)' \
            --with-ld-opt='$(NGX_LD)' \
            $(MODULE_CONFIGS:%/config=--add-dynamic-module=$(TOP)/%)
NGX_MAKE  = +$(MAKE) --no-print-directory -C $(NGX_WORK) \
            -f $(NGX_OBJS)/Makefile \
            $(patsubst %,-f %,$(shell find $(NGX_OBJS)/addon 2>/dev/null -name '*.d'))

ifeq ($(NGINX_TREE),source)

# nginx's configure writes into its tree: a copy of it is used
NGX_WORK  := $(TOP)/$(B)/nginx-src
NGX_FLAGS := --with-compat --with-debug --with-threads --with-http_ssl_module \
             --with-http_v2_module --with-http_realip_module \
             --with-http_auth_request_module --with-pcre-jit

$(B)/nginx/Makefile: $(MODULE_CONFIGS) $(B)/config.mk $(B)/nginx.sources
	rm -rf $(B)/nginx $(B)/nginx-src
	cp -r $(NGINX_SRC) $(B)/nginx-src
	cd $(B)/nginx-src && conf=configure && \
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
	rm -rf $(B)/nginx
	mkdir -p $(B)
	cd $(NGX_WORK) && . ./conf_flags && \
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
	perl redis/generate $(B)/redis


# The demo: PVE_URL=, PVE_USER= and the like reach it by the environment.

demo: all
	@conf/demo up

demo-stop:
	@conf/demo down


# Tests: Perl files and the unit tests' programs (TAP too) under one prove.
# TESTS= names some of them only.

TESTS ?= $(wildcard t/*.t) $(UNIT_SRC:%.c=$(B)/%)
PROVE := prove -It/lib --timer --failures
JOBS  ?= 2

export CMOCKA_MESSAGE_OUTPUT := TAP

test: ROUNDS ?= ci
test-full: ROUNDS ?= full
test test-full: all
	ROUNDS=$(ROUNDS) $(PROVE) -j$(JOBS) $(TESTS)

ASAN_OPTIONS  := abort_on_error=0:detect_leaks=1:detect_stack_use_after_return=1
UBSAN_OPTIONS := print_stacktrace=1

# the files which say they are worth it: "# tags: asan" in one of their lines
ASAN_TESTS = $(shell grep -ls '^\# tags:.*\basan\b' t/*.t) \
             $(UNIT_SRC:%.c=$(B)/asan/%)

check-asan: ROUNDS ?= ci
check-asan: all asan
	ASAN_OPTIONS=$(ASAN_OPTIONS) UBSAN_OPTIONS=$(UBSAN_OPTIONS) \
	ROUNDS=$(ROUNDS) VMOPS_AGENT=$(B)/asan/agent/vmops-agent \
	  $(PROVE) -j$(JOBS) $(ASAN_TESTS)

# Fuzzing with clang's libFuzzer, each target for so long.

FUZZ    := $(patsubst t/fuzz/%.c,$(B)/fuzz/%,$(wildcard t/fuzz/*.c))
SECONDS ?= 60

$(B)/fuzz/%: t/fuzz/%.c $(COMMON_SRC) $(wildcard include/* common/*.h) \
             $(B)/config.mk
	@mkdir -p $(@D)
	clang -std=gnu11 -g -O1 -fsanitize=fuzzer,address,undefined \
	  -fno-sanitize-recover=undefined $(INCLUDE) -o $@ $< $(COMMON_SRC) \
	  $(COMMON_LIBS)

fuzz: $(FUZZ)
	@for target in $(FUZZ); do \
	  echo "$$target for $(SECONDS) s"; mkdir -p $$target.corpus; \
	  $$target -max_total_time=$(SECONDS) -timeout=10 -print_final_stats=1 \
	    -artifact_prefix=$$target. $$target.corpus >$$target.log 2>&1 || \
	    { tail -n 40 $$target.log; exit 1; }; \
	  grep number_of_executed_units $$target.log; done


# Lint: the look of the house first, then what the tools find.

LINT_SH   := configure.sh .ci/run
LINT_PERL := $(wildcard conf/stack conf/demo conf/VMOps/*.pm redis/generate \
             t/*.t t/lib/*.pm t/lib/*/*.pm t/pve/pve-sim t/bench/run \
             t/bench/*.pm t/lint/style)
LINT_C    := $(wildcard agent/*.[ch] agent/*/*.[ch] common/*.[ch] \
             common/ngx/*.[ch] ngx_*_module/*.[ch] include/*.h include/*.def \
             conf/*.c t/unit/*.[ch] t/fuzz/*.c t/bench/*.[ch])
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
	for file in conf/nginx.conf.in conf/vmops.conf redis/redis.conf \
	    $(B)/redis/vmops.lua $(B)/redis/users.acl; do \
	  $(INSTALL) -m 644 $$file $(SHARE)/$${file##*/} || exit 1; done


# Rates, latencies and memory on this machine, beside peers in the same run.

BENCH_SRC := $(wildcard t/bench/*.c)

$(B)/t/bench/load: $(BENCH_SRC:%.c=$(B)/%.o) $(B)/common/libvmops_common.a
	$(CC) $(LDFLAGS) -o $@ $^ $(OPENSSL_LIBS) $(COMMON_LIBS)

bench: all $(B)/t/bench/load
	perl t/bench/run $(BENCH)


clean:
	rm -rf $(B)

help:
	@echo 'make             both nginx modules, the agent, the tools'
	@echo 'make demo        the main job from nothing; PVE_URL=https://...'
	@echo '                 PVE_USER=user@realm!token for a real Proxmox VE'
	@echo 'make demo-stop   stops what the demo left running'
	@echo 'make test        all tests; TESTS="t/a.t t/b.t" for some of them'
	@echo 'make test-full   the same with many more rounds'
	@echo 'make check-asan  unit tests and the agent with sanitizers'
	@echo 'make fuzz        every parser; SECONDS=60 for each'
	@echo 'make bench       rates, latencies, memory; BENCH=--quick'
	@echo 'make lint        style, shellcheck, perl -c, cppcheck, luacheck'
	@echo 'make install     DESTDIR=, PREFIX=, NGX_DEST= say where'
	@echo 'make clean       removes build/'
