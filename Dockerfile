# acitap alone: no shell, no libraries, no user but its own.
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags=-s -o /acitap ./cmd/acitap && mkdir -p /data

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /acitap /acitap
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
# The service listens on all addresses of its container and then needs tokens:
# mount a file and set ACITAP_TOKENS_FILE.
ENV ACITAP_DATA_DIR=/data ACITAP_LISTEN=0.0.0.0:8080 ACITAP_LOG_FORMAT=json
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s CMD ["/acitap", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/acitap"]
CMD ["serve"]
