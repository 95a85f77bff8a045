# Read by the scripts that build: which source this is. A tree without git gets both from the environment.
if [ -z "${SOURCE_DATE_EPOCH:-}" ]; then # the time of all files in packages and archives
	SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null) || SOURCE_DATE_EPOCH=0
fi
if [ -z "${SOURCE_COMMIT:-}" ]; then
	SOURCE_COMMIT=$(git rev-parse --short=12 HEAD 2>/dev/null) || SOURCE_COMMIT=unknown
fi
export SOURCE_DATE_EPOCH SOURCE_COMMIT
