# One image for every role; the command line says which. Debian packages and crates only.

FROM rust:1.95-slim-bookworm AS build
WORKDIR /source
# First what changes least, so that layers are kept.
COPY tests/servers/system-packages.sh tests/servers/tools.sh tests/servers/
RUN tests/servers/system-packages.sh
COPY . .
RUN CC=clang CXX=clang++ cargo build --locked --release -p dbintel

FROM debian:bookworm-slim
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends ca-certificates libssl3 libstdc++6 zlib1g \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /var/lib/dbintel --create-home --shell /usr/sbin/nologin dbintel
COPY --from=build /source/target/release/dbintel /usr/local/bin/dbintel
COPY config/files /etc/dbintel

# A container's loopback is its own: whoever runs it decides which ports are published, and to whom.
ENV DBINTEL_HEALTH_ADDRESS=0.0.0.0:13133 \
    DBINTEL_METRICS_ADDRESS=0.0.0.0:8888 \
    DBINTEL_EXPORT_ADDRESS=0.0.0.0:8889 \
    DBINTEL_STATE_DIRECTORY=/var/lib/dbintel \
    DBINTEL_LOG_FORMAT=json
EXPOSE 8888 8889 13133
VOLUME /var/lib/dbintel
USER 10001:10001
STOPSIGNAL SIGTERM
# Alive, not ready: a restart helps against neither a log nor a server that is away.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/13133 && printf 'GET /livez HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q ' 200 ' <&3"]
ENTRYPOINT ["dbintel"]
CMD ["up", "--quiet"]
