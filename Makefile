# Every target is what CI and the documentation call; nothing else is needed.
.DEFAULT_GOAL := help
GO ?= go
TOOLS := bin/versitygw bin/nats bin/staticcheck bin/govulncheck
# All that is built, looked at or put into an image is compiled in one way, and so
# once; only the race detector needs another.
STATIC := CGO_ENABLED=0 GOFLAGS='$(strip $(GOFLAGS) -trimpath)'
BUILD := $(STATIC) $(GO)

COMPOSE ?= $(shell docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
DEMO := $(COMPOSE) --env-file deploy/demo.env
# In a clone, the version stands in the programs.
STAMP := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo -buildvcs=true)
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
REVISION ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
CA_BUNDLE ?= /etc/ssl/certs/ca-certificates.crt

.PHONY: help build test long check demo compat bench fuzz vuln fips clean image image-context up down e2e

help: ## list the targets
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

build: ## build the three programs into bin/
	$(BUILD) build $(STAMP) -o bin/ ./cmd/...

demo: build ## show the main job: thirty days of reports from OCI to S3, no account needed
	bin/oracle-focus-agent demo

# Many tests wait for processes and for limits of time more than they compute.
test: bin/versitygw bin/nats bin/promtool ## run the whole suite with the race detector
	@command -v cc >/dev/null || { echo "make test needs a C compiler for the race detector: install gcc (Debian: apt-get install gcc libc6-dev)"; exit 1; }
	CGO_ENABLED=1 VERSITYGW=$(CURDIR)/bin/versitygw NATSCLI=$(CURDIR)/bin/nats PROMTOOL=$(CURDIR)/bin/promtool $(GO) test -race -parallel 4 -timeout 20m ./...

long: ## the whole suite, with the sizes that take a machine of two cores too long for each change
	LONG=1 $(MAKE) --no-print-directory test

check: bin/staticcheck ## gofmt, go vet, staticcheck, go fix, go mod tidy: all must be silent
	@test -z "$$(gofmt -l *.go cmd copier internal messages scanner)" || { gofmt -d *.go cmd copier internal messages scanner; exit 1; }
	$(BUILD) vet ./...
	$(STATIC) bin/staticcheck ./...
	$(BUILD) fix -diff ./...
	$(GO) mod tidy -diff

# The program of an earlier commit, which a shallow clone does not have.
COMPAT ?= c217490
compat: ## an earlier version and this one take turns on one ledger and one queue
	@git cat-file -e $(COMPAT)^{commit} 2>/dev/null || { echo "not run: this clone does not have the commit $(COMPAT), whose program would take turns with this one"; exit 0; }; \
		dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && git archive $(COMPAT) | tar -x -C "$$dir" && mkdir -p bin/compat && \
		(cd "$$dir" && CGO_ENABLED=0 $(GO) build -buildvcs=false -trimpath -o $(CURDIR)/bin/compat/ ./cmd/oracle-focus-agent) && \
		COMPAT=$(CURDIR)/bin/compat/oracle-focus-agent $(GO) test -count=1 -v -run EarlierVersion ./internal/cli

bench: ## measure what the durable steps of one file cost, and its statistics
	$(GO) test -run '^$$' -bench . -benchtime 2000x ./internal/nats
	$(GO) test -run '^$$' -bench 'Inspect|Copy' -benchtime 20x ./internal/focus

FUZZTIME ?= 10s
fuzz: ## fuzz each decoder, encoder and reader of what others write, for ten seconds (FUZZTIME)
	@for p in $$(grep -rlE '^func Fuzz' --include='*_test.go' messages internal | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -hoE '^func Fuzz[A-Za-z0-9]+' $$p/*_test.go | cut -c6-); do \
			$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 20x ./$$p || exit 1; done; done

vuln: bin/govulncheck ## known vulnerabilities that this code can reach; says so where their database is out of reach
	@out=$$($(STATIC) bin/govulncheck ./... 2>&1); code=$$?; echo "$$out"; \
		case "$$out" in *"fetching vulnerabilities: "*) echo "not checked: the database of vulnerabilities cannot be reached; GOVULNDB names another one"; exit 0;; esac; exit $$code

# Which module of cryptography is built in; v1.0.0 is the one with a certificate (CMVP 5247).
FIPS ?= latest
fips: ## the core and both adapters in FIPS 140-3 mode; copying also where it is enforced
	GOFIPS140=$(FIPS) GODEBUG=fips140=on $(GO) test -count=1 ./messages ./scanner ./copier ./internal/s3 ./internal/oci
	GOFIPS140=$(FIPS) GODEBUG=fips140=only $(GO) test -count=1 ./messages ./scanner ./copier
	GOFIPS140=$(FIPS) $(GO) test -count=1 -run FIPS140 ./internal/cli

# Programs that the tests use, at the versions pinned in internal/tools.
$(TOOLS): internal/tools/go.mod
	cd internal/tools && $(BUILD) build -ldflags '-s -w' -o ../../bin/ $$(awk '/^tool \(/{f=1;next} /^\)/{f=0} f' go.mod | grep /$(@F)$$)

# Prometheus's own judge of rules, from Debian's package; nothing is installed. Without
# it the tests go on and say so.
bin/promtool:
	@command -v promtool >/dev/null || { \
		mkdir -p bin && dir=$$(mktemp -d) && trap 'rm -rf "$$dir"' EXIT && cd "$$dir" && \
		{ apt-get -q download prometheus || { apt-get -q update && apt-get -q download prometheus; }; } >/dev/null 2>&1 && \
		dpkg -x prometheus_*.deb . && cp usr/bin/promtool $(CURDIR)/$@; \
	} || echo "promtool is not here, so that the alerting rules are not tried: put it on the PATH (Debian: apt-get install prometheus)"

image: image-context ## build the two container images; needs Docker, and no image registry
	for target in agent nats; do \
		docker build --quiet --target $$target --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) --file deploy/image/Dockerfile \
			--tag oracle-focus-agent$$(test $$target = agent || echo -nats):dev bin/image || exit 1; done
	@docker images --filter reference='oracle-focus-agent*' --format '{{.Repository}}:{{.Tag}} {{.Size}}'

# What the images hold: static programs, and the directories that volumes are mounted on.
image-context: bin/nats
	rm -rf bin/image
	mkdir -p $(addprefix bin/image/root/,data simulator etc/ssl/certs $(addprefix keys/,ca server scanner copier agent viewer admin system))
	cp $(CA_BUNDLE) bin/image/root/etc/ssl/certs/ca-certificates.crt
	cp bin/nats bin/image/nats
	$(BUILD) build $(STAMP) -ldflags '-s -w' -o bin/image/ ./cmd/oracle-focus-agent
	$(BUILD) build -ldflags '-s -w' -o bin/image/ github.com/nats-io/nats-server/v2

up: image ## start the stack with a simulated OCI and S3: no account needed
	$(DEMO) up -d --remove-orphans
	@echo 'look:  $(DEMO) ps;  $(DEMO) logs -f copier;  curl http://127.0.0.1:9464/metrics'
	@echo 'more:  $(DEMO) up -d --scale copier=6'
	@echo 'check: $(DEMO) exec simulator /oracle-focus-agent simulator check'

down: ## stop the stack of `make up` and remove its data
	$(DEMO) down --volumes --remove-orphans

e2e: ## run the stack in containers; scale, kill, cut off and restart it under load (4 minutes)
	@mkdir -p bin && rm -f bin/e2e.txt
	@! docker info >/dev/null 2>&1 || $(MAKE) --no-print-directory image
	$(BUILD) test -c -o bin/e2e.test ./internal/e2e
	cd internal/e2e && E2E=$(CURDIR)/bin/e2e.txt $(CURDIR)/bin/e2e.test -test.v -test.timeout 10m
	@cat bin/e2e.txt

clean: ## remove what was built
	rm -rf bin
