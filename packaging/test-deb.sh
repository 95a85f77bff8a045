#!/usr/bin/env bash
# Build two versions of the Debian package and use them as an administrator does: install over another mail system, one
# line of configuration, mail of cron and of a user, an upgrade with mail in the queue, removal, purge.
#
# All of it happens in a copy of this machine that is gone afterwards: an overlay on /, with processes of its own. Needs
# root, Linux, and Debian with cron, systemd (which is not run), and Postfix, which the package is installed in place of.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo 'test-deb.sh: needs root' >&2; exit 1; }

work=$(mktemp -d)
trap 'umount "$work/over" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$work/host" "$work/over"
chmod 755 "$work" # users are to get at what is in it
for version in 1.0.0~one 1.0.0~two; do
	packaging/deb.sh "$version" "$(dpkg --print-architecture)" "$work/host" 2>/dev/null
done
cp packaging/test-deb-inside.sh "$work/host/inside.sh"
cp "$(command -v smtp-sink)" "$work/host/" # Postfix will not be there any more

# The upper layer is in memory, since it cannot be on the file system that it covers.
mount -t tmpfs none "$work/over"
mkdir "$work/over/upper" "$work/over/work" "$work/over/root"
unshare --mount --pid --fork --kill-child --uts sh -euc '
	hostname host.example
	mount -t overlay none -o "lowerdir=/,upperdir=$1/over/upper,workdir=$1/over/work" "$1/over/root"
	cd "$1/over/root"
	mount -t proc proc proc
	mount --rbind /dev dev
	for dir in run tmp var/spool/cron; do mount -t tmpfs -o mode=755 none "$dir"; done
	chmod 1777 tmp
	mkdir tmp/host tmp/upper
	mount --bind "$1/host" tmp/host
	mount --bind -o ro "$1/over/upper" tmp/upper
	exec chroot . /bin/bash -eu /tmp/host/inside.sh
' sh "$work"
