#!/usr/bin/env bash
# Build the Debian package: packaging/deb.sh VERSION [ARCHITECTURE [DIRECTORY]]
# Needs Go and dpkg-deb. The architecture is Debian's name for it (amd64, arm64, armhf, i386, riscv64), by default this
# machine's. DIRECTORY is where the package goes, by default the current one. DEB_COMPRESSION is a method of dpkg-deb -Z,
# by default xz. The last line of the output is the path of the package.
set -euo pipefail
version=${1:?which version? as in: packaging/deb.sh 1.2.3}
version=${version#v}
arch=${2:-$(dpkg --print-architecture)}
dir=$(cd "${3:-.}" && pwd)
cd "$(dirname "$0")/.."
. packaging/source.sh
dpkg --validate-version "$version"
case $arch in
armhf) goarch=arm ;;
i386) goarch=386 ;;
*) goarch=$arch ;;
esac
umask 022
step() { echo "deb.sh: $*" >&2; }

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
root=$work/root

step "spoolgore $version for $arch: building"
packaging/tree.sh "$version" "$goarch" "$root"
packaging/systemd.sh "$root"
for link in usr/sbin/sendmail:../lib/spoolgore/sendmail usr/lib/sendmail:spoolgore/sendmail \
	usr/bin/mailq:../sbin/sendmail usr/bin/newaliases:../sbin/sendmail; do
	mkdir -p "$root/$(dirname "${link%%:*}")"
	ln -s "${link#*:}" "$root/${link%%:*}"
done
mkdir -p "$root/etc/spoolgore"
install -D -m 644 packaging/debian/overrides "$root/usr/share/lintian/overrides/spoolgore"
# Debian's form of CHANGELOG.md, which is there, too.
install -m 644 CHANGELOG.md "$root/usr/share/doc/spoolgore/CHANGELOG.md"
{
	printf 'spoolgore (%s) unstable; urgency=medium\n\n  * See CHANGELOG.md.\n\n' "$version"
	printf ' -- Spoolgore maintainers <noreply@github.com>  %s\n' "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
} | gzip -9n >"$root/usr/share/doc/spoolgore/changelog.gz"

mkdir "$root/DEBIAN"
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
for script in postinst prerm postrm; do
	packaging/scripts/assemble.sh "packaging/debian/$script" >"$root/DEBIAN/$script"
	chmod 755 "$root/DEBIAN/$script"
done
size=$(du -k -s --apparent-size --exclude=DEBIAN "$root" | cut -f 1)
sed "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$size/" packaging/debian/control >"$root/DEBIAN/control"
step "packing with ${DEB_COMPRESSION:-xz}"
dpkg-deb -Z"${DEB_COMPRESSION:-xz}" --root-owner-group --build "$root" "$dir/spoolgore_${version}_$arch.deb" >&2
echo "$dir/spoolgore_${version}_$arch.deb"
