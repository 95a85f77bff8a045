#!/usr/bin/env bash
# Build a release: packaging/release.sh VERSION DIRECTORY [OS/ARCH ...]
# DIRECTORY gets an archive for each platform (by default all), packages for Debian, of RPM and of Alpine for Linux, and
# SHA256SUMS. The same source, version and Go make the same bytes, wherever and whenever. Needs Go, GNU tar, and dpkg-deb.
#   PACKAGES  which packages, by default "deb nfpm"; nfpm builds those of RPM and of Alpine
#   SIGNKEY   the file of an SSH key: ssh-keygen signs SHA256SUMS with it, into SHA256SUMS.sig
set -euo pipefail
version=${1:?which version? as in: packaging/release.sh 1.2.3 dist}
version=${version#v}
mkdir -p "${2:?which directory? as in: packaging/release.sh 1.2.3 dist}"
dir=$(cd "$2" && pwd)
platforms=("${@:3}")
[ ${#platforms[@]} -gt 0 ] || platforms=(linux/amd64 linux/arm64 linux/arm linux/386 linux/riscv64 darwin/amd64 darwin/arm64
	freebsd/amd64 freebsd/arm64 openbsd/amd64 netbsd/amd64 windows/amd64)
packages=${PACKAGES-deb nfpm}
[ -z "${SIGNKEY:-}" ] || SIGNKEY=$(realpath "$SIGNKEY")
cd "$(dirname "$0")/.."
. packaging/source.sh
if [ -n "$(ls -A "$dir")" ]; then
	echo "release.sh: $dir is not empty" >&2
	exit 1
fi
umask 022

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
if [[ " $packages " = *' nfpm '* ]] && [ -z "${NFPM:-}" ]; then
	(cd packaging/tools && GOFLAGS='' go build -o "$work/nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm)
	export NFPM=$work/nfpm
fi

# archive OS ARCH makes the archive of a platform.
archive() {
	local os=$1 arch=$2 name=spoolgore-$version-$1-$2
	packaging/build.sh "$version" "$os" "$arch" "$work/$name"
	cp -r LICENSE README.md CHANGELOG.md docs "$work/$name"
	[ "$os" = windows ] || cp -r packaging/spoolgore.conf packaging/prometheus "$work/$name"
	case $os in
	linux) cp -r packaging/systemd packaging/openrc "$work/$name" ;;
	darwin) cp -r packaging/launchd "$work/$name" ;;
	freebsd | openbsd) cp -r "packaging/$os" "$work/$name" ;;
	esac
	# The modes do not depend on those of this checkout.
	tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$SOURCE_DATE_EPOCH" \
		--format=ustar -cf - "$name" | gzip -9n >"$dir/$name.tar.gz"
	rm -r "${work:?}/$name"
}

# packages ARCH makes the packages for Linux.
packages() {
	local debian=$1
	case $1 in
	arm) debian=armhf ;;
	386) debian=i386 ;;
	esac
	if [[ " $packages " = *' deb '* ]]; then packaging/deb.sh "$version" "$debian" "$dir" >/dev/null; fi
	if [[ " $packages " = *' nfpm '* ]]; then packaging/nfpm.sh "$version" "$1" "$dir" >/dev/null; fi
}

for platform in "${platforms[@]}"; do
	echo "release.sh: $platform" >&2
	archive "${platform%/*}" "${platform#*/}"
	[ "${platform%/*}" != linux ] || packages "${platform#*/}"
done
cd "$dir"
LC_ALL=C
sha256sum -- * >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" .
[ -z "${SIGNKEY:-}" ] || ssh-keygen -q -Y sign -f "$SIGNKEY" -n spoolgore-release SHA256SUMS
cat SHA256SUMS
