# syntax=docker/dockerfile:1
# Builds Capstan as `make build` does, and leaves an image with `capstan`, CometBFT and the bundler.
#
#   docker build -t capstan .
#   docker run --rm -p 127.0.0.1:26657:26657 capstan dev --rpc 0.0.0.0:26657

FROM rust:1.95.0-trixie AS build
# LLVM 22 is newer than the distribution's.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates curl golang make nodejs npm \
    && curl -fsSL https://apt.llvm.org/llvm-snapshot.gpg.key -o /etc/apt/trusted.gpg.d/llvm.asc \
    && echo "deb http://apt.llvm.org/trixie/ llvm-toolchain-trixie-22 main" > /etc/apt/sources.list.d/llvm.list \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /opt/capstan
COPY . .
ENV CARGO_TARGET_DIR=/target
RUN --mount=type=cache,target=/target --mount=type=cache,target=/usr/local/cargo/registry \
    make build \
    && install -D /target/release/capstan /out/capstan \
    && install -D "$HOME/.cache/capstan/cometbft/$(cat consensus/cometbft.version)/cometbft" /out/cometbft

FROM debian:trixie-slim
# Node runs the bundler and docker/make-network.sh.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates nodejs \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 capstan \
    && install -d -o capstan -g capstan /network
COPY --from=build /out/ /usr/local/bin/
COPY --from=build /opt/capstan/vat/js /opt/capstan/vat/js
COPY docker/ /opt/capstan/docker/
ENV CAPSTAN_COMETBFT=/usr/local/bin/cometbft CAPSTAN_JS_TOOLS=/opt/capstan/vat/js/tools
USER capstan
ENTRYPOINT ["capstan"]
CMD ["--help"]
