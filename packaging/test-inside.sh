# Read by the parts of package tests that run in a copy of the machine. Do not read it elsewhere: they replace the mail system.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C TZ=UTC
unset DEBIAN_FRONTEND CI GODEBUG TMPDIR
spool=/var/spool/spoolgore
conf=/etc/spoolgore.conf
command=/usr/lib/spoolgore/sendmail
arrived=/tmp/arrived
port=10025
password='a #secret, with blanks'

step() { printf '\n== %s\n' "$*"; }
die() { echo "FAILED: $*" >&2; exit 1; }
is() { [ "$1" = "$2" ] || die "$3: '$1', want '$2'"; }
# until_true COMMAND: wait until it succeeds, two minutes at most.
until_true() {
	for _ in $(seq 1200); do
		if "$@"; then return; fi
		sleep 0.1
	done
	die "waited in vain for: $*"
}
arrivals() { grep -l "$1" "$arrived"/*[0-9] 2>/dev/null | wc -l; }
has_arrived() { [ "$(arrivals "$1")" -ge "${2:-1}" ]; }
queue() { find "$spool" -maxdepth 1 -type f ! -name '.*' | sort; }
queue_is_empty() { [ -z "$(queue)" ]; }
# mail_as USER SUBJECT
mail_as() { printf 'Subject: %s\n\nHello!\n' "$2" | as "$1" sendmail b@example.org; }
as() { setpriv --reuid "$1" --regid "$(id -g "$1")" --clear-groups "${@:2}"; }
mode() { stat -Lc '%A %U:%G' "$1"; }

# The daemon as systemd runs it: the user, the credentials and the command line of the unit.
start_daemon() {
	local unit=/usr/lib/systemd/system/spoolgore.service credential
	user=$(sed -n 's/^User=//p' $unit)
	rm -rf /tmp/credentials
	install -d -m 700 -o "$user" /tmp/credentials
	for credential in $(sed -n 's/^LoadCredential=//p' $unit); do
		{ cat "${credential#*:}" 2>/dev/null || echo; } >"/tmp/credentials/${credential%%:*}"
		chown "$user" "/tmp/credentials/${credential%%:*}"
	done
	read -ra words <<<"$(sed -n 's/^ExecStart=//p' $unit)"
	CREDENTIALS_DIRECTORY=/tmp/credentials setpriv --reuid "$user" --regid "$(sed -n 's/^Group=//p' $unit)" \
		--clear-groups --no-new-privs --bounding-set=-all "${words[@]}" 2>>/tmp/daemon.log &
	daemon=$!
	until_true daemon_runs
}
daemon_runs() { [ "$(cat $spool/.spoolgore.lock 2>/dev/null)" = "$daemon" ]; }
stop_daemon() { kill "$daemon" && wait "$daemon" || die "the daemon ended with $?: $(tail /tmp/daemon.log)"; }
trap '[ $? = 0 ] || tail -5 /tmp/daemon.log 2>/dev/null' EXIT

mkdir -m 755 "$arrived"
python3 /tmp/host/test-relay.py $port "$arrived" &
python3 /tmp/host/test-relay.py $((port + 1)) "$arrived" "me:$password" &
