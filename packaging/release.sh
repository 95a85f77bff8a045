#!/usr/bin/env bash
# Build a release: packaging/release.sh VERSION DIRECTORY [OS/ARCH ...]
# Into DIRECTORY go an archive for each platform (without any named: all), Debian packages, and SHA256SUMS. The same
# source, version and Go make the same bytes, wherever and whenever. Needs Go, GNU tar, and dpkg-deb for the packages.
set -euo pipefail
version=${1:?which version? as in: packaging/release.sh 1.2.3 dist}
version=${version#v}
mkdir -p "${2:?which directory? as in: packaging/release.sh 1.2.3 dist}"
dir=$(cd "$2" && pwd)
platforms=("${@:3}")
[ ${#platforms[@]} -gt 0 ] || platforms=(linux/amd64 linux/arm64 linux/arm linux/386 linux/riscv64 darwin/amd64 darwin/arm64
	freebsd/amd64 freebsd/arm64 openbsd/amd64 netbsd/amd64 windows/amd64)
cd "$(dirname "$0")/.."
if [ -n "$(ls -A "$dir")" ]; then
	echo "release.sh: $dir is not empty" >&2
	exit 1
fi
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}" # the time of all files in the archives
export SOURCE_DATE_EPOCH
umask 022

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
for platform in "${platforms[@]}"; do
	os=${platform%/*} arch=${platform#*/}
	name=spoolgore-$version-$os-$arch
	echo "$name" >&2
	packaging/build.sh "$version" "$os" "$arch" "$work/$name"
	cp -r LICENSE README.md CHANGELOG.md docs "$work/$name"
	[ "$os" != linux ] || cp -r packaging/spoolgore.conf packaging/systemd packaging/openrc "$work/$name"
	[ "$os" != darwin ] || cp -r packaging/spoolgore.conf packaging/launchd "$work/$name"
	# Not the modes of this checkout: what may be executed, and what may not.
	tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX --mtime="@$SOURCE_DATE_EPOCH" \
		--format=ustar -cf - "$name" | gzip -9n >"$dir/$name.tar.gz"
	rm -r "${work:?}/$name"
	if [ "$os" = linux ] && command -v dpkg-deb >/dev/null; then
		case $arch in
		arm) arch=armhf ;;
		386) arch=i386 ;;
		esac
		packaging/deb.sh "$version" "$arch" "$dir" >/dev/null
	fi
done
cd "$dir"
LC_ALL=C
sha256sum -- *.tar.gz $(ls | grep '\.deb$' || true) >"$work/SHA256SUMS"
mv "$work/SHA256SUMS" .
cat SHA256SUMS
