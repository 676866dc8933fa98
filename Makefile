# Every target is what CI and the documentation call; nothing else is needed.
.DEFAULT_GOAL := help
GO ?= go
TOOLS := bin/versitygw bin/nats bin/staticcheck bin/govulncheck bin/benchstat
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

.PHONY: help build test long check demo screenshots compat crash term mutants bench bench-short bench-steps bench-compare bench-queue bench-scan chaos kills model scale fuzz vuln fips clean image image-context up down e2e cluster

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

build: ## build the three programs into bin/
	$(BUILD) build $(STAMP) -o bin/ ./cmd/...

demo: build ## show the main job: thirty days of reports from OCI to S3, no account needed
	bin/oracle-focus-agent demo

screenshots: ## take the pictures of the status page in docs/images anew; needs chromium
	BROWSER_PICTURES=$(CURDIR)/docs/images $(GO) test -count=1 -run TestTheStatusPage/Screenshots ./internal/browser

# Many tests wait for processes and for limits of time more than they compute. `make check` vets.
# Under the race detector a third of the processor went to the garbage collector.
test: bin/versitygw bin/nats bin/promtool bin/helm bin/kubeconform ## run the whole suite with the race detector
	@command -v cc >/dev/null || { echo "make test needs a C compiler for the race detector: install gcc (Debian: apt-get install gcc libc6-dev)"; exit 1; }
	CGO_ENABLED=1 VERSITYGW=$(CURDIR)/bin/versitygw NATSCLI=$(CURDIR)/bin/nats PROMTOOL=$(CURDIR)/bin/promtool HELM=$(CURDIR)/bin/helm KUBECONFORM=$(CURDIR)/bin/kubeconform \
		GOGC=400 GOMEMLIMIT=2GiB $(GO) test -race -vet=off -parallel 4 -timeout 20m ./...

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

# Real processes, most of which wait for each other: more of them at a time than processors.
crash term: N ?= 1
crash: ## kill the program at each of 38 points, start it again, and check what came of it (N=20, POINT=copier.opened, SEED=7)
	@CRASH=$(N) CRASH_POINT=$(POINT) CRASH_SEED=$(SEED) $(GO) test -count=1 -v -run '^TestCrash$$' -parallel 4 -timeout 3h ./internal/chaos

term: ## end a copier at work by SIGTERM, and check what it finished and what another one went on with (N=50, SEED=7)
	@TERM_TRIALS=$(N) TERM_SEED=$(SEED) $(GO) test -count=1 -v -run '^TestTerm$$' -parallel 4 -timeout 3h ./internal/chaos

mutants: ## plant 19 bugs, one after the other: the checker must catch each, and a test of its package too (MUTANTS=3,8; MUTANTS_HUNT=random)
	MUTANTS=$(or $(MUTANTS),all) $(GO) test -count=1 -v -run '^TestMutants' -timeout 3h ./internal/chaos

# docs/performance.md says what is measured, and what came of it.
BENCH = bin/bench -workloads '$(WORKLOADS)' $(if $(BENCH_TLS),-tls) $(if $(BENCH_DIR),-dir $(BENCH_DIR))
bench: bin/bench ## copy the same files with the agent, with rclone and through a bare pipe, in turns (WORKLOADS=A,B PAIRS=5 BENCH_TLS=1 BENCH_DIR=/var/tmp)
	@$(BENCH) -pairs $(or $(PAIRS),5)

# Those that show most in least time; under three minutes.
bench-short: WORKLOADS ?= A,B,C,E,H
bench-short: bin/bench ## the same with small sizes: only how much faster who is, and with how much CPU
	@$(BENCH) -short -pairs $(or $(PAIRS),1)

allocs: ## hold what is made anew for each file against its bounds, which the race detector would blur
	$(BUILD) test -count=1 -run '^TestAllocations$$' ./messages ./internal/oci ./internal/s3

.PHONY: bin/bench allocs
bin/bench: build bin/rclone bin/nats-server
	$(BUILD) build -o bin/ ./internal/bench

bench-steps: ## measure what the durable steps of one file cost, and its statistics
	$(GO) test -run '^$$' -bench . -benchtime 2000x ./internal/nats
	$(GO) test -run '^$$' -bench 'Inspect|Copy' -benchtime 20x ./internal/focus

bench-compare: bin/benchstat ## the benchmarks of the hot paths at a commit and now, in turns, and what benchstat says of both (BASE=HEAD~1, ROUNDS=6)
	@$(STATIC) internal/bench/compare.sh $(or $(BASE),HEAD) $(or $(ROUNDS),6)

bench-queue: bin/nats-server ## measure how many files per second pass the queue, in the process and outside, where nothing is copied (FILES=5000, ROUNDS=3, BENCH_DIR=/var/tmp)
	@QUEUE_FILES=$(or $(FILES),5000) QUEUE_ROUNDS=$(or $(ROUNDS),3) QUEUE_SERVER=$(CURDIR)/bin/nats-server $(if $(BENCH_DIR),TMPDIR=$(BENCH_DIR)) \
		$(GO) test -count=1 -run '^TestCeiling$$' -timeout 1h -v ./internal/nats

OBJECTS ?= 100000,1000000
bench-scan: ## measure a scan that finds nothing new (OBJECTS=1000000, DAYS=365, ROUNDS=3, LATENCY=100ms of each listing)
	@SCAN_OBJECTS=$(OBJECTS) SCAN_DAYS=$(DAYS) SCAN_ROUNDS=$(ROUNDS) SCAN_LATENCY=$(LATENCY) \
		$(GO) test -count=1 -run '^TestScanAtScale$$' -timeout 2h -v ./internal/nats

# One process for each processor, which each take a part of the cases.
CASES ?= 20000
model: ## scanners and copiers together through random histories (CASES=20000, SEED=7)
	$(GO) test -c -o bin/model.test ./internal/model
	@n=$$(nproc); cd internal/model && for i in $$(seq $$n); do \
		GOMAXPROCS=1 $(CURDIR)/bin/model.test -test.v -test.timeout 0 -test.run 'TestHistories$$' -rapid.nofailfile \
			-rapid.checks $$((($(CASES) + n - 1) / n)) -rapid.seed $(or $(SEED),$(shell date +%s))$$i & pids="$$pids $$!"; done; \
		for p in $$pids; do wait $$p || code=1; done; exit $${code:-0}

CHAOS = CHAOS_PROGRAM=$(CURDIR)/bin/oracle-focus-agent CHAOS_SERVER=$(CURDIR)/bin/nats-server
chaos: build bin/nats-server ## faults at random under load, from a seed (SEED=1 or SEEDS=1-100, DURATION, PARALLEL), and what is promised
	$(GO) test -c -o bin/chaos.test ./internal/chaos
	@$(CHAOS) CHAOS_SEEDS=$(or $(SEEDS),$(SEED),1) CHAOS_DURATION=$(or $(DURATION),20s) CHAOS_POWER=$(if $(filter 0,$(shell id -u)),$(wildcard /dev/loop-control)) \
		bin/chaos.test -test.timeout 0 -test.parallel $(or $(PARALLEL),1) -test.run '^TestChaos$$'

kills: build bin/nats-server ## kill the NATS server N times under load (N=1000)
	$(GO) test -c -o bin/chaos.test ./internal/chaos
	@$(CHAOS) CHAOS_KILLS=$(or $(N),1000) bin/chaos.test -test.timeout 0 -test.run '^TestKills$$'

bin/nats-server: go.mod
	$(BUILD) build -ldflags '-s -w' -o bin/ github.com/nats-io/nats-server/v2

scale: ## queue the files of many tenancies on three NATS servers, and take them off again (FILES=1000000, ROUTES=10, WORKERS=64)
	$(GO) test -c -o bin/scale.test ./internal/scale
	SCALE_FILES=$(or $(FILES),1000000) SCALE_ROUTES=$(or $(ROUTES),10) SCALE_WORKERS=$(or $(WORKERS),64) bin/scale.test -test.timeout 0 -test.run '^TestScale$$'

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

# What renders and judges the chart of deploy/helm.
CHART := internal/tools/helm/go.mod internal/tools/helm/main.go
bin/helm: $(CHART)
	cd internal/tools/helm && $(BUILD) build -ldflags '-s -w' -o ../../../bin/ .

bin/kubeconform: $(CHART)
	cd internal/tools/helm && $(BUILD) build -ldflags '-s -w' -o ../../../bin/ github.com/yannh/kubeconform/cmd/kubeconform

# What the benchmark compares with.
bin/rclone: internal/tools/rclone/go.mod internal/tools/rclone/main.go
	cd internal/tools/rclone && $(BUILD) build -ldflags '-s -w' -o ../../../bin/ .

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
	cd internal/e2e && E2E=$(CURDIR)/bin/e2e.txt $(CURDIR)/bin/e2e.test -test.v -test.timeout 10m -test.run '^TestStack$$'
	@cat bin/e2e.txt

cluster: image ## run the stack over three NATS servers, with copiers of two more hosts, and kill each server under load (needs Docker)
	@rm -f bin/e2e.txt
	$(BUILD) test -c -o bin/e2e.test ./internal/e2e
	cd internal/e2e && E2E=$(CURDIR)/bin/e2e.txt $(CURDIR)/bin/e2e.test -test.v -test.timeout 10m -test.run '^TestCluster$$'
	@cat bin/e2e.txt

clean: ## remove what was built
	rm -rf bin
