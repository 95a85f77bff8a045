#!/usr/bin/env bash
# Print a maintainer script with the common functions in place of the line @COMMON@: assemble.sh SCRIPT
set -euo pipefail
sed -e "/^@COMMON@\$/{
r $(dirname "$0")/common.sh
d
}" "$1"
