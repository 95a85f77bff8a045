#!/usr/bin/env bash
# Lay out the files of a Linux package: packaging/tree.sh VERSION GOARCH DIRECTORY
# DIRECTORY must not exist. The packages for Debian, of RPM and of Alpine have the same files.
set -euo pipefail
version=$1 arch=$2 root=$3
cd "$(dirname "$0")/.."
umask 022
mkdir "$root"

put() { install -D -m "$1" "$2" "$root/$3"; } # put MODE FILE PATH
link() { mkdir -p "$root/$(dirname "$2")" && ln -s "$1" "$root/$2"; }

built=$root/built
packaging/build.sh "$version" linux "$arch" "$built"
put 755 "$built/spoolgore" usr/bin/spoolgore
# For users with a spool of their own. The setgid command of the spool of all users is a copy that the package's script makes.
put 755 "$built/sendmail-spool" usr/bin/sendmail-spool
# For callers with a limit of address space: a program for amd64 reserves more than 700 MB of it. So this command serves
# -bs itself.
if [ "$arch" = amd64 ]; then
	TAGS=smtpserver packaging/build.sh "$version" linux 386 "$built/386"
	put 755 "$built/386/sendmail-spool" usr/libexec/spoolgore/sendmail-spool32
fi
put 644 "$built/sbom.txt" usr/share/doc/spoolgore/sbom.txt
# The completions come from the program itself; a program for another processor cannot run here.
native=$built/spoolgore
if [ "$arch" != "$(go env GOHOSTARCH)" ]; then
	native=$built/native
	GOFLAGS=-buildvcs=false go build -o "$native" ./cmd/spoolgore
fi
for shell in bash:bash-completion/completions/spoolgore zsh:zsh/vendor-completions/_spoolgore \
	fish:fish/vendor_completions.d/spoolgore.fish; do
	"$native" completion "${shell%%:*}" >"$built/completion"
	put 644 "$built/completion" "usr/share/${shell#*:}"
done
rm -r "$built"

put 644 packaging/spoolgore.conf usr/share/spoolgore/spoolgore.conf
put 644 packaging/prometheus/alerts.yml usr/share/doc/spoolgore/examples/alerts.yml
put 644 LICENSE usr/share/doc/spoolgore/copyright
for doc in README.md docs/*.md; do
	put 644 "$doc" "usr/share/doc/spoolgore/$doc"
done
for file in docs/man/*.[1-8]; do
	page=usr/share/man/man${file##*.}/${file##*/}.gz
	mkdir -p "$root/${page%/*}"
	gzip -9n <"$file" >"$root/$page"
done
link sendmail-spool.8.gz usr/share/man/man8/sendmail.8.gz
link ../man8/sendmail-spool.8.gz usr/share/man/man1/mailq.1.gz
link ../man8/sendmail-spool.8.gz usr/share/man/man1/newaliases.1.gz
