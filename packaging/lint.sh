#!/usr/bin/env bash
# Check the files of packaging that no test runs. Needs shellcheck, mksh, xmllint, systemd-analyze, Go, and promtool:
# PROMTOOL is its path.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
die() { echo "FAILED: $*" >&2; exit 1; }

shellcheck -x -s bash -S warning -e SC2034,SC2154,SC2164 packaging/*.sh packaging/scripts/assemble.sh .ci/lib.sh .ci/run .ci/full .ci/fuzz .ci/cases
for script in debian/postinst debian/prerm debian/postrm rpm/post rpm/preun apk/post-install apk/pre-deinstall; do
	packaging/scripts/assemble.sh "packaging/$script" >"$work/script"
	grep -q '^@COMMON@' "$work/script" && die "$script: the common functions are missing"
	shellcheck -s sh -e SC2034 "$work/script"
	dash -n "$work/script"
	mksh -n "$work/script"
done
# Variables and functions of each system's own framework are unknown here.
shellcheck -s sh -e SC2034,SC2154,SC1091,SC2015 packaging/openrc/spoolgore packaging/freebsd/spoolgore
shellcheck -s ksh -e SC2034,SC1091,SC2086 packaging/openbsd/spoolgore
mksh -n packaging/openbsd/spoolgore
xmllint --noout --nonet packaging/launchd/*.plist

"${PROMTOOL:-promtool}" check rules packaging/prometheus/alerts.yml
"${PROMTOOL:-promtool}" test rules packaging/prometheus/alerts_test.yml
for metric in $(grep -o 'spoolgore_[a-z_]*' packaging/prometheus/alerts.yml | sort -u); do
	grep -q "\`${metric}[\`{]" docs/monitoring.md || die "alerts.yml: $metric is not in docs/monitoring.md"
done
(cd packaging/tools && go vet ./... && go test ./...)
echo 'lint.sh: ok'
