# codev-init: the entrypoint of a pod in which OpenCode works.
#
#   docker build -t IMAGE .                    the image
#   docker build --target slim -t IMAGE .      without Node.js and npm: where the plugin is built elsewhere
#   docker build --target test .               the unit tests, in the image's own surroundings
#   docker build --target debug -o build/debug .      the programs' debug symbols, by build id
#
# Each version is an argument; OpenCode's default is the one line of OPENCODE_VERSION.
# OPENCODE_BIN names a binary below build/image/ to use instead of npm's, for a build with no network.
#
# The same input gives the same layers, where files get a date that is not the clock's: podman build
# --timestamp 0; docker buildx build --build-arg SOURCE_DATE_EPOCH=0 --output ...,rewrite-timestamp=true.
ARG DEBIAN=bookworm-slim

# What the programs need at run time. Changes rarely, hence first; settings are here so that both
# images below have the same.
FROM debian:${DEBIAN} AS runtime
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        libwebsockets17 libwebsockets-evlib-uv libcjson1 libgit2-1.5 libseccomp2 libuv1 \
        libyaml-0-2 libsqlite3-0 ca-certificates git openssh-client ripgrep \
    && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/ldconfig/* \
    && groupadd --gid 1000 coder && SOURCE_DATE_EPOCH=0 useradd --uid 1000 --gid 1000 --create-home --shell /bin/bash coder \
    && install -d -o coder -g coder /home/coder/.local /home/coder/.config /home/coder/.npm /home/coder/src \
        /var/lib/codev /run/codev \
    && echo '. /usr/local/share/bash-completion/completions/codevctl' >>/etc/bash.bashrc \
    && rm -rf /var/log/* /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow-
ENV CODEV_HOME=/home/coder HOME=/home/coder
USER 1000:1000
WORKDIR /home/coder/src
EXPOSE 8080 8000 8081
# Kubernetes takes its own probes instead. PID 1 answers in milliseconds, also while OpenCode starts.
# It is asked by its control socket: a read-only container needs --tmpfs /run/codev:mode=1777 (or /tmp).
# For a plain init of one command (docker run IMAGE -- CMD): --no-healthcheck.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 CMD ["codevctl", "probe", "live"]
ENTRYPOINT ["codev-init"]

# Node.js builds the plugin. npm as its authors pack it: Debian's brings a compiler's headers and
# Python, seven times the size.
FROM runtime AS runtime-node
USER 0:0
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends nodejs \
    && rm -rf /var/lib/apt/lists/* /var/log/* /var/cache/ldconfig/*
USER 1000:1000

FROM debian:${DEBIAN} AS build
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        gcc libc6-dev musl-tools make pkg-config git ca-certificates nodejs npm binutils \
        libcurl4-openssl-dev libssl-dev libwebsockets-dev libwebsockets-evlib-uv libcjson-dev libgit2-dev \
        libseccomp-dev libuv1-dev libyaml-dev libsqlite3-dev check procps tini dumb-init openssl \
    && rm -rf /var/lib/apt/lists/*
ARG OPENCODE_VERSION=
ARG OPENCODE_ARCH=x64
ARG NPM_VERSION=10.9.2
ARG OPENCODE_BIN=OPENCODE_VERSION
WORKDIR /fetched
COPY OPENCODE_VERSION ${OPENCODE_BIN} ./
# OpenCode is one native binary; its npm package holds nothing else.
RUN install -d /out/usr/local/bin /npm/usr/local/bin && if [ ! -x opencode ]; then \
        npm install --no-audit --no-fund --loglevel=error --no-save --prefix /fetched \
            "opencode-linux-${OPENCODE_ARCH}@${OPENCODE_VERSION:-$(cat OPENCODE_VERSION)}" \
        && mv "node_modules/opencode-linux-${OPENCODE_ARCH}/bin/opencode" opencode; fi \
    && install -m 0755 opencode /out/usr/local/bin/opencode && rm -rf opencode node_modules \
    && npm install --no-audit --no-fund --loglevel=error --global --prefix /npm/usr/local "npm@${NPM_VERSION}" \
    && rm -rf /npm/usr/local/lib/node_modules/npm/docs /npm/usr/local/lib/node_modules/npm/man \
        /npm/usr/local/share /root/.npm
WORKDIR /src
# What the programs are made of, and no more: a changed document or test compiles nothing anew.
COPY Makefile VERSION OPENCODE_VERSION ./
COPY mk mk
COPY scripts scripts
COPY docs/man docs/man
COPY base base
COPY supervisor supervisor
COPY bridge bridge
COPY probes probes
COPY acceptance acceptance
# The same path and flags give the same bytes. What strip takes away is kept apart, found by build id.
RUN make -s -j"$(nproc)" programs \
    && make -s install-programs DESTDIR=/out PREFIX=/usr/local \
    && scripts/split-debug.sh /debug /out/usr/local/bin/codev* /out/usr/local/lib/codev/*.so

FROM build AS test
COPY . .
RUN make -s -j"$(nproc)" unit

FROM scratch AS debug
COPY --from=build /debug /

# What is in the image: Debian's packages, those linked into our programs, npm's, OpenCode and
# ourselves, as SPDX.
FROM build AS bill
COPY --from=runtime /var/lib/dpkg/status /bill/slim
COPY --from=runtime-node /var/lib/dpkg/status /bill/full
RUN for kind in slim full; do install -d "/bill/out/$kind/usr/local/share/codev" \
        && node scripts/bill-of-materials.mjs "/bill/$kind" /out/usr/local/bin/opencode \
            $([ "$kind" = slim ] || echo /npm) >"/bill/out/$kind/usr/local/share/codev/sbom.spdx.json"; done

FROM runtime AS slim
COPY --from=build /out/ /
COPY --from=bill /bill/out/slim/ /
ARG REVISION=
LABEL org.opencontainers.image.title="codev-init" \
      org.opencontainers.image.description="PID 1, volume checks, OpenCode and a Slack gateway; no Node.js" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}"

FROM runtime-node AS full
COPY --from=build /npm/ /
COPY --from=build /out/ /
COPY --from=bill /bill/out/full/ /
ARG REVISION=
LABEL org.opencontainers.image.title="codev-init" \
      org.opencontainers.image.description="PID 1, volume checks, plugin build, OpenCode and a Slack gateway" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}"
