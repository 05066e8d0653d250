# acitap. "make test" and "make check" are what .ci/run calls.

GO ?= go
STATICCHECK = $(GO) tool -modfile=tools.mod staticcheck
BENCHSTAT = $(GO) tool -modfile=tools.mod benchstat
ERRORLINT = $(GO) tool -modfile=tools.mod go-errorlint
SLOGLINT = $(GO) tool -modfile=tools.mod sloglint

# The keys that a line of the log may have: who searches the log for one finds
# all lines about it.
LOG_KEYS = bytes,caller,class,classes,consumer,controller,differences,dir,dn,entries,err,file,frames,from,healed,host,id,in,lastRebootTime,listen,method,name,objects,path,query,reason,request,role,stack,state,status,step,to,tokens,took,until,version,webhook

.PHONY: release all build demo test check generate fmt fuzz bench gobench bench-compare mutants chromium

all: build

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o acitap ./cmd/acitap

demo:
	$(GO) run ./cmd/acitap demo

# All tests, with the race detector, which needs a C compiler. The browser tests
# need Chromium. promtool and systemd-analyze are used where they are.
test: chromium
	ACITAP_TEST_RELEASE=1 $(GO) test -race ./...

# Installs the distribution's Chromium where there is none, or says what is
# missing.
chromium:
	@if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then :; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "installing chromium for the browser tests"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	else \
		echo "the browser tests need Chromium: install your distribution's package (Debian: apt-get install chromium)" >&2; exit 1; \
	fi

check:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt would change:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(STATICCHECK) ./...
	$(ERRORLINT) ./...
	$(SLOGLINT) -test=false -static-msg -msg-style=lowercased -no-global=all -no-mixed-args=false -key-naming-case=camel -forbidden-keys=time,level,msg,source -allowed-keys=$(LOG_KEYS) ./...
	$(GO) mod tidy -diff
	$(GO) test -short -run TestLicences ./deploy/release
	$(GO) tool templ generate -path web >/dev/null 2>&1
	@git diff --exit-code -- web || { echo "generated files are not up to date: run make generate"; exit 1; }

generate:
	$(GO) tool templ generate -path web

fmt:
	gofmt -w $$(git ls-files '*.go')

# Ten minutes for each fuzz target.
FUZZTIME ?= 10m
fuzz:
	@for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep ^Fuzz); do \
			echo "== $$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$p || exit 1; \
		done; \
	done

# The standard table of docs/performance.md, in some minutes, beside nchan and
# NATS where they are installed. BENCH has flags and scenarios:
# make bench BENCH="-write docs/performance.md", make bench BENCH="ingest fan-out".
bench:
	$(GO) run ./cmd/acitap-bench $(BENCH)

# The Go benchmarks, one for each step of the way of an event.
BENCHPKG ?= ./...
BENCHRUN ?= .
BENCHTIME ?= 200ms
gobench:
	$(GO) test -run '^$$' -bench '$(BENCHRUN)' -benchtime $(BENCHTIME) -benchmem $(BENCHPKG)

# The same of the commit BASE, in a worktree for the time, and of the tree as it
# is, side by side. They take turns, so that both have the same share of a
# machine's moods: make bench-compare BASE=main BENCHPKG=./apic
BASE ?= HEAD
BENCHCOUNT ?= 6
bench-compare:
	@dir=$$(mktemp -d) && trap 'git worktree remove --force "$$dir/base" >/dev/null 2>&1; rm -rf "$$dir"' EXIT INT TERM && \
	git worktree add --detach --quiet "$$dir/base" '$(BASE)' && tree=$$PWD && \
	for i in $$(seq $(BENCHCOUNT)); do \
		for side in base tree; do \
			at="$$tree"; [ $$side = tree ] || at="$$dir/base"; \
			echo "round $$i of $(BENCHCOUNT): $$side" >&2; \
			(cd "$$at" && $(GO) test -run '^$$' -bench '$(BENCHRUN)' -benchtime $(BENCHTIME) -benchmem $(BENCHPKG)) >>"$$dir/$$side.txt" || { tail -20 "$$dir/$$side.txt"; exit 1; }; \
		done; \
	done && \
	$(BENCHSTAT) '$(BASE)'="$$dir/base.txt" tree="$$dir/tree.txt"

# Deliberate defects, each of which some test must find.
mutants:
	$(GO) test -tags mutants -run TestMutants -timeout 60m -v ./apic

# The program for every platform, the same bytes from the same commit, with
# SHA256SUMS and bills of materials, in dist/. Fails above 30 MB.
release:
	$(GO) run ./deploy/release
