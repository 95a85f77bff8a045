#!/usr/bin/env bash
# Build the commands for one platform: packaging/build.sh VERSION OS ARCH DIRECTORY
# The same source, version and Go make the same bytes, wherever they are built.
set -euo pipefail
version=$1 os=$2 arch=$3
mkdir -p "$4"
out=$(cd "$4" && pwd)
cd "$(dirname "$0")/.."

commands=(./cmd/spoolgore)
[ "$os" = windows ] || commands+=(./cmd/sendmail-spool)
# Nothing of this machine: not its paths, its C library, its checkout, nor what its environment says of flags and processors.
env -u GOEXPERIMENT GOFLAGS= GOAMD64=v1 GOARM=7 GOARM64=v8.0 GO386=sse2 GORISCV64=rva20u64 \
	CGO_ENABLED=0 GOOS="$os" GOARCH="$arch" \
	go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.release=$version" -o "$out/" "${commands[@]}"
