# codev-init: the entrypoint of a pod in which OpenCode works. Two stages: one builds, one runs.
ARG DEBIAN=bookworm-slim

FROM debian:${DEBIAN} AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        gcc libc6-dev musl-tools make pkg-config git ca-certificates nodejs npm binutils \
        libcurl4-openssl-dev libwebsockets-dev libcjson-dev libgit2-dev libseccomp-dev libuv1-dev \
        libyaml-dev libsqlite3-dev check \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
ARG OPENCODE_ARCH=x64
# OpenCode is one native binary; its npm package holds nothing else. The version is in one file.
RUN make -s programs DESTDIR=/out \
    && make -s install-programs DESTDIR=/out PREFIX=/usr/local \
    && strip --strip-unneeded /out/usr/local/bin/* /out/usr/local/lib/codev/* \
    && npm install --no-audit --no-fund --loglevel=error --prefix /opencode --no-save \
        "opencode-linux-${OPENCODE_ARCH}@$(cat OPENCODE_VERSION)" \
    && install -m 0755 "/opencode/node_modules/opencode-linux-${OPENCODE_ARCH}/bin/opencode" \
        /out/usr/local/bin/opencode

FROM debian:${DEBIAN}
# node and npm build the plugin; ripgrep and git are what OpenCode's tools call.
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        libcurl4 libwebsockets17 libwebsockets-evlib-uv libcjson1 libgit2-1.5 libseccomp2 libuv1 \
        libyaml-0-2 libsqlite3-0 ca-certificates git openssh-client ripgrep nodejs npm \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 1000 coder && useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash coder \
    && install -d -o coder -g coder /home/coder/.local /home/coder/.config /home/coder/src /var/lib/codev /run/codev
COPY --from=build /out/ /
LABEL org.opencontainers.image.title="codev-init" \
      org.opencontainers.image.description="PID 1, volume checks, plugin build, OpenCode and a Slack gateway" \
      org.opencontainers.image.licenses="MIT"
ENV CODEV_HOME=/home/coder HOME=/home/coder
USER 1000:1000
WORKDIR /home/coder/src
EXPOSE 8080 8000 8081
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["codevctl", "probe", "live"]
ENTRYPOINT ["codev-init"]
