#!/usr/bin/env bash
# Build the Debian package: packaging/deb.sh VERSION [ARCHITECTURE [DIRECTORY]]
# Needs Go and dpkg-deb. The architecture is Debian's name for it (amd64, arm64, armhf, i386, riscv64), by default this
# machine's, and the directory by default this one. The last line of the output is the path of the package.
set -euo pipefail
version=${1:?which version? as in: packaging/deb.sh 1.2.3}
version=${version#v}
arch=${2:-$(dpkg --print-architecture)}
dir=$(cd "${3:-.}" && pwd)
cd "$(dirname "$0")/.."
dpkg --validate-version "$version"
case $arch in
armhf) goarch=arm ;;
i386) goarch=386 ;;
*) goarch=$arch ;;
esac
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct)}" # the time of all files in the package
export SOURCE_DATE_EPOCH
umask 022

root=$(mktemp -d)
trap 'rm -r "$root"' EXIT
chmod 755 "$root"
put() { install -D -m "$1" "$2" "$root/$3"; } # put MODE FILE PATH
page() { mkdir -p "$root/usr/share/man/man$2" && gzip -9n <"docs/man/$1.$2" >"$root/usr/share/man/man$2/$1.$2.gz"; }
link() { mkdir -p "$root/$(dirname "$2")" && ln -s "$1" "$root/$2"; }

packaging/build.sh "$version" linux "$goarch" "$root/built"
put 755 "$root/built/spoolgore" usr/bin/spoolgore
# This one is for whoever has a spool of his own; postinst makes a copy that has the group of the spool of all users.
put 755 "$root/built/sendmail-spool" usr/bin/sendmail-spool
link ../lib/spoolgore/sendmail usr/sbin/sendmail
link spoolgore/sendmail usr/lib/sendmail
link ../sbin/sendmail usr/bin/mailq
link ../sbin/sendmail usr/bin/newaliases
rm -r "$root/built"

put 644 packaging/spoolgore.conf usr/share/spoolgore/spoolgore.conf
mkdir -p "$root/etc/spoolgore"
put 644 packaging/systemd/spoolgore.service usr/lib/systemd/system/spoolgore.service
put 644 packaging/systemd/spoolgore@.service usr/lib/systemd/system/spoolgore@.service
put 644 packaging/systemd/user/spoolgore.service usr/lib/systemd/user/spoolgore.service
put 644 packaging/systemd/password.conf usr/share/doc/spoolgore/examples/password.conf
put 644 LICENSE usr/share/doc/spoolgore/copyright
for doc in README.md CHANGELOG.md docs/*.md; do
	put 644 "$doc" "usr/share/doc/spoolgore/$doc"
done
for file in docs/man/*.[1-8]; do
	name=$(basename "$file")
	page "${name%.*}" "${name##*.}"
done
link sendmail-spool.8.gz usr/share/man/man8/sendmail.8.gz
link ../man8/sendmail-spool.8.gz usr/share/man/man1/mailq.1.gz
link ../man8/sendmail-spool.8.gz usr/share/man/man1/newaliases.1.gz

mkdir "$root/DEBIAN"
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum >DEBIAN/md5sums)
for script in postinst prerm postrm; do
	install -m 755 "packaging/debian/$script" "$root/DEBIAN/$script"
done
size=$(du -k -s --apparent-size --exclude=DEBIAN "$root" | cut -f 1)
sed "s/@VERSION@/$version/; s/@ARCH@/$arch/; s/@SIZE@/$size/" packaging/debian/control >"$root/DEBIAN/control"
dpkg-deb --root-owner-group --build "$root" "$dir/spoolgore_${version}_$arch.deb" >&2
echo "$dir/spoolgore_${version}_$arch.deb"
