#!/usr/bin/env bash
# A release has the same bytes if it is built in another directory, at another time, with another umask and environment.
# Its signature holds, and does not hold for other checksums. Needs ssh-keygen. PACKAGES as for release.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
die() { echo "FAILED: $*" >&2; exit 1; }
export SOURCE_DATE_EPOCH=1767225600 SOURCE_COMMIT=0123456789ab # a copy has no git to take them from
for copy in one another/deeper; do
	mkdir -p "$work/$copy"
	git ls-files -co --exclude-standard | tar -cf - -T - | tar -C "$work/$copy" -xf -
done
ssh-keygen -q -t ed25519 -N '' -C 'throw-away' -f "$work/key"
# The paths of the copies do not matter in the build cache, but in binaries.
(umask 022 && SIGNKEY=$work/key "$work/one/packaging/release.sh" v1.2.3 "$work/dist1" linux/amd64)
find "$work/another" -exec touch -d '2001-02-03 04:05:06' {} +
(umask 077 && TZ=Asia/Tokyo GOFLAGS=-tags=other GOAMD64=v3 SIGNKEY=$work/key \
	"$work/another/deeper/packaging/release.sh" 1.2.3 "$work/dist2" linux/amd64 >/dev/null)
diff -r "$work/dist1" "$work/dist2" || die 'two builds differ'
(cd "$work/dist1" && sha256sum --quiet -c SHA256SUMS)

# As docs/releasing.md says.
echo "spoolgore $(cut -d' ' -f 1,2 "$work/key.pub")" >"$work/allowed_signers"
verify() {
	ssh-keygen -q -Y verify -f "$work/allowed_signers" -I spoolgore -n spoolgore-release -s "$work/dist1/SHA256SUMS.sig"
}
verify <"$work/dist1/SHA256SUMS" || die 'the signature does not hold'
if sed 's/^./x/' "$work/dist1/SHA256SUMS" | verify >/dev/null 2>&1; then die 'the signature holds for other checksums'; fi
ssh-keygen -q -t ed25519 -N '' -f "$work/other"
echo "spoolgore $(cut -d' ' -f 1,2 "$work/other.pub")" >"$work/allowed_signers"
if verify <"$work/dist1/SHA256SUMS" >/dev/null 2>&1; then die 'the signature holds for another key'; fi

tar -C "$work" -xf "$work/dist1/spoolgore-1.2.3-linux-amd64.tar.gz"
built=$work/spoolgore-1.2.3-linux-amd64
"$built/spoolgore" -version | grep '^spoolgore 1\.2\.3 (0123456789ab, 2026-01-01) '
grep -q 'github.com/emersion/go-sasl' "$built/sbom.txt" || die 'sbom.txt names no modules'
if grep -aq -e "$work" -e "$HOME/" "$built/spoolgore" "$built/sbom.txt"; then die 'the release names the place of its build'; fi
