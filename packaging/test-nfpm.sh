#!/usr/bin/env bash
# Build the packages of RPM and of Alpine, twice. Install, upgrade and remove the rpm in a copy of this machine, unpack the
# apk. Needs root, Linux, and Debian with rpm, cpio, python3 and Postfix. NFPM as for nfpm.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" = 0 ] || { echo 'test-nfpm.sh: needs root' >&2; exit 1; }
. packaging/overlay.sh
die() { echo "FAILED: $*" >&2; exit 1; }
work=$(mktemp -d)
trap 'umount "$work/over" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir "$work/host" "$work/again" "$work/rpm" "$work/apk"
chmod 755 "$work" # users read what is in it
if [ -z "${NFPM:-}" ]; then
	(cd packaging/tools && GOFLAGS='' go build -o "$work/nfpm" github.com/goreleaser/nfpm/v2/cmd/nfpm)
	export NFPM=$work/nfpm
fi

packaging/nfpm.sh 1.1.0 amd64 "$work/host" >/dev/null
(umask 077 && TZ=Asia/Tokyo packaging/nfpm.sh 1.1.0 amd64 "$work/again" >/dev/null)
diff -r "$work/host" "$work/again" || die 'two builds differ'
packaging/nfpm.sh 1.1.1 amd64 "$work/host" >/dev/null
rpm=$work/host/spoolgore-1.1.0-1.x86_64.rpm apk=$work/host/spoolgore_1.1.0-r1_x86_64.apk

echo '== contents'
rpm -qp --queryformat '%{NAME} %{VERSION}-%{RELEASE} %{ARCH} %{LICENSE}\n' "$rpm" | grep -x 'spoolgore 1.1.0-1 x86_64 MIT'
rpm -qp --requires "$rpm" | grep -qx ca-certificates || die 'the rpm requires no ca-certificates'
rpm -qplv "$rpm" | grep -v ' root \+root ' && die 'a file of another user'
# rpm2cpio of Debian 12 ends with 1 after the complete payload. The names in it begin with a slash.
{ rpm2cpio "$rpm" || true; } | (cd "$work/rpm" && cpio -id --quiet --no-absolute-filenames 2>/dev/null)
tar -C "$work/apk" --warning=no-unknown-keyword -xzf "$apk"
grep -qx 'pkgver = 1.1.0-r1' "$work/apk/.PKGINFO" || die 'the version of the apk'
grep -v ' = ' "$work/apk/.PKGINFO" && die '.PKGINFO has other lines than "key = value"'
for script in .post-install .post-upgrade .pre-deinstall; do
	sh -n "$work/apk/$script"
done
list() { (cd "$1" && find . ! -type d ! -path './.*' -printf '%P %m %l\n' | LC_ALL=C sort); }
list "$work/rpm" >"$work/rpm.list"
list "$work/apk" >"$work/apk.list"
diff "$work/rpm.list" "$work/apk.list" | grep '^[<>]' >"$work/differ" || true
diff - "$work/differ" <<'EOF' || die 'other files differ'
> etc/init.d/spoolgore 755 
> usr/bin/mailq 777 ../sbin/sendmail
> usr/bin/newaliases 777 ../sbin/sendmail
< usr/lib/systemd/system/spoolgore-smtp.socket 644 
< usr/lib/systemd/system/spoolgore-smtp@.service 644 
< usr/lib/systemd/system/spoolgore.service 644 
< usr/lib/systemd/system/spoolgore@.service 644 
< usr/lib/systemd/user/spoolgore.service 644 
> usr/sbin/sendmail 777 ../lib/spoolgore/sendmail
EOF
for file in usr/bin/spoolgore usr/bin/sendmail-spool usr/share/spoolgore/spoolgore.conf usr/share/man/man8/spoolgore.8.gz; do
	cmp "$work/rpm/$file" "$work/apk/$file"
done

cp packaging/test-rpm-inside.sh packaging/test-inside.sh packaging/test-relay.py "$work/host/"
in_a_copy "$work" test-rpm-inside.sh
