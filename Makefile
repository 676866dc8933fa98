# Every target is what CI and the documentation call; nothing else is needed.
.DEFAULT_GOAL := help
GO ?= go
TOOLS := bin/versitygw bin/staticcheck

.PHONY: help build test check demo bench fuzz clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

build: ## build the three programs into bin/
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./cmd/...

demo: build ## show the main job: thirty days of reports from OCI to S3, no account needed
	bin/oracle-focus-agent demo

test: bin/versitygw ## run the whole suite with the race detector
	@command -v cc >/dev/null || { echo "make test needs a C compiler for the race detector: install gcc (Debian: apt-get install gcc libc6-dev)"; exit 1; }
	CGO_ENABLED=1 VERSITYGW=$(CURDIR)/bin/versitygw $(GO) test -race -timeout 12m ./...

check: bin/staticcheck ## gofmt, go vet, staticcheck, go fix, go mod tidy: all must be silent
	@test -z "$$(gofmt -l cmd copier internal messages scanner)" || { gofmt -d cmd copier internal messages scanner; exit 1; }
	$(GO) vet ./...
	bin/staticcheck ./...
	$(GO) fix -diff ./...
	$(GO) mod tidy -diff

bench: ## measure what the durable steps of one file cost
	$(GO) test -run '^$$' -bench . -benchtime 2000x ./internal/nats

fuzz: ## fuzz each decoder and encoder for ten seconds
	@for f in $$(grep -rhoE '^func Fuzz[A-Za-z]+' messages/*_test.go | cut -c6-); do \
		$(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime 10s ./messages || exit 1; done

# Programs that the tests use, at the versions pinned in internal/tools.
$(TOOLS): internal/tools/go.mod
	cd internal/tools && $(GO) build -o ../../bin/ $$(awk '/^tool \(/{f=1;next} /^\)/{f=0} f' go.mod | grep /$(@F)$$)

clean: ## remove what was built
	rm -rf bin
