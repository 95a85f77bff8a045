#!/usr/bin/env bash
# A release is the same, byte for byte, from another directory, at another time, with another umask and environment.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export SOURCE_DATE_EPOCH=1767225600 # a copy has no commit to take it from
for copy in one another/deeper; do
	mkdir -p "$work/$copy"
	git ls-files -co --exclude-standard | tar -cf - -T - | tar -C "$work/$copy" -xf -
done
# Their paths in the build cache do not matter, those in binaries do.
(umask 022 && "$work/one/packaging/release.sh" v1.2.3 "$work/dist1" linux/amd64)
find "$work/another" -exec touch -d '2001-02-03 04:05:06' {} +
(umask 077 && TZ=Asia/Tokyo GOFLAGS=-tags=other GOAMD64=v3 "$work/another/deeper/packaging/release.sh" 1.2.3 "$work/dist2" linux/amd64 >/dev/null)
diff -r "$work/dist1" "$work/dist2"
(cd "$work/dist1" && sha256sum --quiet -c SHA256SUMS)

tar -C "$work" -xf "$work/dist1/spoolgore-1.2.3-linux-amd64.tar.gz"
"$work/spoolgore-1.2.3-linux-amd64/spoolgore" -version | grep '^spoolgore 1\.2\.3 '
if grep -aq -e "$work" -e "$HOME/" "$work/spoolgore-1.2.3-linux-amd64/spoolgore"; then
	echo 'FAILED: the binary knows where it was built' >&2
	exit 1
fi
