#!/usr/bin/env bash
# Build the packages of RPM and of Alpine: packaging/nfpm.sh VERSION [GOARCH [DIRECTORY]]
# Needs Go; nfpm comes from the module packaging/tools. NFPM is the path of another nfpm. The last lines of the output are
# the paths of the packages.
set -euo pipefail
version=${1:?which version? as in: packaging/nfpm.sh 1.2.3}
version=${version#v}
arch=${2:-$(go env GOARCH)}
dir=$(cd "${3:-.}" && pwd)
cd "$(dirname "$0")/.."
. packaging/source.sh
umask 022

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
echo "nfpm.sh: spoolgore $version for $arch: building" >&2
packaging/tree.sh "$version" "$arch" "$work/rpm"
install -m 644 CHANGELOG.md "$work/rpm/usr/share/doc/spoolgore/CHANGELOG.md"
mv "$work/rpm/usr/share/zsh/vendor-completions" "$work/rpm/usr/share/zsh/site-functions"
cp -a "$work/rpm" "$work/apk"
packaging/systemd.sh "$work/rpm"
install -D -m 755 packaging/openrc/spoolgore "$work/apk/etc/init.d/spoolgore"
mkdir -p "$work/apk/usr/sbin" "$work/apk/usr/lib"
ln -s ../lib/spoolgore/sendmail "$work/apk/usr/sbin/sendmail"
ln -s ../sbin/sendmail "$work/apk/usr/bin/mailq"
ln -s ../sbin/sendmail "$work/apk/usr/bin/newaliases"
for script in rpm/post rpm/preun apk/post-install apk/pre-deinstall; do
	packaging/scripts/assemble.sh "packaging/$script" >"$work/${script/\//-}"
done

if [ -z "${NFPM:-}" ]; then
	NFPM=$work/nfpm
	(cd packaging/tools && GOFLAGS='' go build -o "$NFPM" github.com/goreleaser/nfpm/v2/cmd/nfpm)
fi
export NFPM_ARCH=$arch NFPM_VERSION=$version
mtime=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
find "$work" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
for format in rpm apk; do
	echo "nfpm.sh: packing $format" >&2
	{
		sed "s,@SCRIPTS@,$work,; s,@MTIME@,$mtime," packaging/nfpm.yaml
		echo 'contents:'
		for top in "$work/$format"/*; do
			printf '  - {src: "%s", dst: "/%s", type: tree}\n' "$top" "${top##*/}"
		done
	} >"$work/$format.yaml"
	"$NFPM" package --config "$work/$format.yaml" --packager "$format" --target "$dir/" >&2
done
ls -d "$dir"/spoolgore*"$version"*.rpm "$dir"/spoolgore*"$version"*.apk
