#!/usr/bin/env bash
# Build the commands for one platform: packaging/build.sh VERSION OS ARCH DIRECTORY
# DIRECTORY gets the commands and sbom.txt, the modules that are in them. The same source, version and Go make the same
# bytes, wherever and whenever they are built. TAGS are build tags.
set -euo pipefail
version=$1 os=$2 arch=$3
mkdir -p "$4"
out=$(cd "$4" && pwd)
cd "$(dirname "$0")/.."
. packaging/source.sh

commands=(./cmd/spoolgore ./cmd/sendmail-spool)
date=unknown
[ "$SOURCE_DATE_EPOCH" = 0 ] ||
	date=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%d 2>/dev/null || date -u -r "$SOURCE_DATE_EPOCH" +%Y-%m-%d)
set_version="-X main.release=$version -X main.commit=$SOURCE_COMMIT -X main.date=$date"
# The result does not depend on this machine: not on its paths, its C library, its checkout or its environment.
env -u GOEXPERIMENT GOFLAGS= GOAMD64=v1 GOARM=7 GOARM64=v8.0 GO386=sse2 GORISCV64=rva20u64 \
	CGO_ENABLED=0 GOOS="$os" GOARCH="$arch" \
	go build -trimpath -buildvcs=false -tags "${TAGS:-}" -ldflags "-s -w -buildid= $set_version" -o "$out/" "${commands[@]}"
cd "$out"
programs=("${commands[@]##*/}")
[ "$os" != windows ] || programs=("${programs[@]/%/.exe}")
go version -m "${programs[@]}" >sbom.txt
