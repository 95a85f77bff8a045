#!/usr/bin/env bash
# Build the Debian package and use it as an administrator does: installation over another mail system, one line of
# configuration, mail of cron and of users, an upgrade from version 1 with mail in flight, an upgrade from this version,
# removal, purge.
#
# All of this happens in a copy of this machine that is gone afterwards: an overlay on /, with processes of its own. Needs
# root, Linux, and Debian with cron, php-cli, python3, lintian, systemd (which is not run), and Postfix, which the package replaces.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo 'test-deb.sh: needs root' >&2; exit 1; }
. packaging/overlay.sh
first=10ab621 # the last commit of version 1

work=$(mktemp -d)
trap 'umount "$work/over" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$work/host" "$work/first"
chmod 755 "$work" # users read what is in it
arch=$(dpkg --print-architecture)
export DEB_COMPRESSION=none

git archive "$first" | tar -x -C "$work/first"
(cd "$work/first" && SOURCE_DATE_EPOCH=1767225600 packaging/deb.sh 1.0.0 "$arch" "$work/host" >/dev/null 2>&1)
packaging/deb.sh 1.1.0~one "$arch" "$work/host" >/dev/null
lintian --fail-on error,warning --allow-root --suppress-tags uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball \
	"$work"/host/spoolgore_1.1.0~one_*.deb
# The second version has the same files and a later number.
dpkg-deb -R "$work"/host/spoolgore_1.1.0~one_*.deb "$work/two"
sed -i 's/^Version: .*/Version: 1.1.0~two/' "$work/two/DEBIAN/control"
dpkg-deb -Znone --root-owner-group --build "$work/two" "$work/host/spoolgore_1.1.0~two_$arch.deb" >/dev/null
rm -r "$work/two" "$work/first"
cp packaging/test-deb-inside.sh packaging/test-inside.sh packaging/test-relay.py "$work/host/"
in_a_copy "$work" test-deb-inside.sh
