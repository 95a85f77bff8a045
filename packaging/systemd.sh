#!/usr/bin/env bash
# Add the units of systemd to the files of a package: packaging/systemd.sh DIRECTORY
set -euo pipefail
root=$1
cd "$(dirname "$0")"
for unit in system/spoolgore.service system/spoolgore@.service system/spoolgore-smtp.socket \
	system/spoolgore-smtp@.service user/spoolgore.service; do
	install -D -m 644 "systemd/${unit#system/}" "$root/usr/lib/systemd/$unit"
done
