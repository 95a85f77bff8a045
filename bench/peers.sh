#!/bin/sh
# Prepares the peers on Debian, as root: Postfix is installed without a configuration (nothing is started), the small
# ones, which exclude one another, are unpacked into DIR/root without being installed.
#
# usage: peers.sh [DIR]        DIR: bench-peers in the directory for temporary files
set -eu
dir=${1:-${TMPDIR:-/tmp}/bench-peers}
export DEBIAN_FRONTEND=noninteractive

apt-get update -q
if ! command -v postfix >/dev/null; then
	echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
	apt-get install -y -q --no-install-recommends postfix
fi

mkdir -p "$dir/root"
cd "$dir"
rm -f ./*.deb
apt-get download -q dma nullmailer msmtp libgsasl18 libsecret-1-0 libgssglue1 libntlm0 libidn12
for package in ./*.deb; do
	dpkg -x "$package" root
done
echo "ready: $dir/root"
