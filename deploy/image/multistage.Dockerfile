# The same two images where an image registry can be reached, from the sources:
#
#   docker build -f deploy/image/multistage.Dockerfile --target agent -t oracle-focus-agent:dev .
#   docker build -f deploy/image/multistage.Dockerfile --target nats -t oracle-focus-agent-nats:dev .

FROM golang:1.26 AS build
WORKDIR /src
COPY . .
RUN make image-context

FROM scratch AS base
COPY --from=build --chown=65532:65532 /src/bin/image/root/ /
COPY --from=build /src/bin/image/oracle-focus-agent /
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
WORKDIR /data
STOPSIGNAL SIGTERM

FROM base AS nats
COPY --from=build /src/bin/image/nats-server /src/bin/image/nats /
LABEL org.opencontainers.image.title="oracle-focus-agent-nats" \
      org.opencontainers.image.description="nats-server for oracle-focus-agent"
# The nats command line asks for HOME and USER.
ENV PATH=/ HOME=/data USER=nats
# Until the streams on the disk are read, nats-server is not healthy.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=5 CMD ["/oracle-focus-agent", "healthcheck", "--url", "http://127.0.0.1:8222/healthz?js-enabled-only=true"]
ENTRYPOINT ["/nats-server"]
CMD ["--config", "/keys/server/nats.conf"]

FROM base AS agent
LABEL org.opencontainers.image.title="oracle-focus-agent" \
      org.opencontainers.image.description="Oracle FOCUS cost reports to Umbrella"
# The port is for probes and for Prometheus; it takes no orders.
ENV PATH=/ FOCUS_HTTP_LISTEN=0.0.0.0:9464 FOCUS_STATE_DIR=/data FOCUS_LOGGING_FORMAT=json
EXPOSE 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/oracle-focus-agent", "healthcheck"]
ENTRYPOINT ["/oracle-focus-agent"]
CMD ["run"]
