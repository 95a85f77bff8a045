#!/bin/bash
# The part of test-deb.sh that runs in the copy of the machine; for nothing else, as it replaces the mail system.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C TZ=UTC
unset DEBIAN_FRONTEND CI GODEBUG
spool=/var/spool/spoolgore
arrived=/tmp/arrived
port=10025

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
# apt and dpkg get no terminal, no answers, and no front end that would make up some.
apt() { apt-get -y -o Dpkg::Use-Pty=0 "$@" </dev/null; }
arrivals() { grep -l "$1" "$arrived"/* 2>/dev/null | wc -l; }
has_arrived() { [ "$(arrivals "$1")" -ge "${2:-1}" ]; } # the sink writes a file a moment after its answer
queue() { find "$spool" -maxdepth 1 -type f ! -name '.*' | sort; }
queue_is_empty() { [ -z "$(queue)" ]; }
# mail_as USER SUBJECT
mail_as() { printf 'Subject: %s\n\nHello!\n' "$2" | setpriv --reuid "$1" --regid "$(id -g "$1")" --clear-groups sendmail b@example.org; }

# The daemon as systemd runs it: the user and the command line of the unit.
start_daemon() {
	unit=/usr/lib/systemd/system/spoolgore.service
	user=$(sed -n 's/^User=//p' $unit)
	read -ra words <<<"$(sed -n 's/^ExecStart=//p' $unit)"
	setpriv --reuid "$user" --regid "$(sed -n 's/^Group=//p' $unit)" --clear-groups --no-new-privs --bounding-set=-all \
		"${words[@]}" 2>>/tmp/daemon.log &
	daemon=$!
	until_true daemon_runs
}
daemon_runs() { [ "$(cat $spool/.spoolgore.lock 2>/dev/null)" = "$daemon" ]; }
stop_daemon() { kill "$daemon" && wait "$daemon" || die "the daemon ended with $?: $(tail /tmp/daemon.log)"; }
trap '[ $? = 0 ] || tail -5 /tmp/daemon.log 2>/dev/null' EXIT

# everything: what differs from the machine that this is a copy of, in the places where a package and its scripts leave
# something, and users and groups. (Who changes the machine itself meanwhile is not seen.)
everything() {
	(cd /tmp/upper && find etc usr var/spool var/lib/systemd -path etc/cron.d -prune \
		-o -printf '%M %u:%g %p %l\n' | sort)
	getent passwd; getent group
}

mkdir -m 755 "$arrived"
chown nobody "$arrived"
(cd "$arrived" && exec /tmp/host/smtp-sink -u nobody -d '%M.' "127.0.0.1:$port" 100) &

step 'install in place of another mail system'
apt install /tmp/host/spoolgore_1.0.0~one_*.deb
if dpkg -s postfix 2>/dev/null | grep -q '^Status: install ok'; then die 'Postfix is still there'; fi
is "$(mailq)" 'Mail queue is empty' 'mailq'
apt purge spoolgore postfix >/dev/null
everything >/tmp/before
if grep spoolgore /tmp/before; then die 'this was left'; fi

step 'install'
apt install /tmp/host/spoolgore_1.0.0~one_*.deb
is "$(stat -Lc '%A %U:%G' /usr/sbin/sendmail)" '-rwxr-sr-x root:spoolgore' 'sendmail'
is "$(stat -Lc '%A %U:%G' /usr/bin/sendmail-spool)" '-rwxr-xr-x root:root' 'sendmail-spool'
for dir in $spool $spool/tmp $spool/failed $spool/hold; do
	is "$(stat -c '%A %U:%G' $dir)" 'drwxrws--- spoolgore:spoolgore' "$dir"
done
is "$(stat -c '%A %U:%G' /etc/spoolgore.conf)" '-rw-r----- root:spoolgore' '/etc/spoolgore.conf'
is "$(grep -v '^#\|^$' /etc/spoolgore.conf)" "dir $spool" 'settings in force'
is "$(mailq)" 'Mail queue is empty' 'mailq'
spoolgore -version | grep -q '^spoolgore 1\.0\.0~one ' || die 'the version'
for page in man8/spoolgore.8 man8/sendmail.8 man1/mailq.1 man5/spoolgore-spool.5; do
	zcat "/usr/share/man/$page.gz" | grep -q '^\.Dt' || die "$page"
done
bash -c '. /usr/share/bash-completion/completions/spoolgore && complete -p spoolgore' >/dev/null || die 'completion'
units=/usr/lib/systemd
systemd-analyze verify --man=no $units/system/spoolgore.service $units/system/spoolgore@.service || die 'a unit'
XDG_RUNTIME_DIR=/run systemd-analyze verify --man=no --user $units/user/spoolgore.service || die "the user's unit"
for unit in spoolgore.service spoolgore@.service; do # the figure in docs/installing.md, ten times
	systemd-analyze security --offline=yes --no-pager --threshold=14 "$units/system/$unit" >/tmp/security || die "$(grep '✗' /tmp/security)"
done

step 'one line of configuration, then mail of cron and of a user'
echo "smtpaddr 127.0.0.1:$port" >>/etc/spoolgore.conf
start_daemon
rm -f /etc/cron.d/*
echo '@reboot root echo hello from cron' >/etc/cron.d/hello
cron
until_true has_arrived 'hello from cron'
grep -q '^X-Mail-Args: <root@' "$(grep -l 'hello from cron' $arrived/*)" || die 'the sender of the mail of cron'
mail_as nobody 'of a user'
until_true has_arrived 'Subject: of a user'
if setpriv --reuid nobody --regid nogroup --clear-groups ls $spool 2>/dev/null; then die 'a user looks into the spool'; fi
runuser -u spoolgore -- spoolgore test -config /etc/spoolgore.conf b@example.org | tee /tmp/test
grep -q 'The relay has it' /tmp/test || die 'spoolgore test'
until_true queue_is_empty
head -20 "$(grep -l 'hello from cron' $arrived/*)"

step 'upgrade, with mail in the queue, and mail that comes in meanwhile'
stop_daemon
for n in 1 2 3; do mail_as nobody "queued $n"; done
mailq
sum=$(queue | xargs cat | sha256sum)
# Calls of the command from before to after the upgrade, each of which is to succeed.
(
	n=0
	while [ ! -e /tmp/upgraded ]; do
		n=$((n + 1))
		mail_as daemon "meanwhile $n" || die "call $n of sendmail during the upgrade"
	done
	echo $n >/tmp/meanwhile
) &
sender=$!
apt install /tmp/host/spoolgore_1.0.0~two_*.deb
touch /tmp/upgraded
wait $sender
meanwhile=$(cat /tmp/meanwhile)
echo "$meanwhile messages were sent meanwhile"
is "$(queue | xargs grep -l 'Subject: queued' | xargs cat | sha256sum)" "$sum" 'the mail in the queue'
is "$(stat -Lc '%A %U:%G' /usr/sbin/sendmail)" '-rwxr-sr-x root:spoolgore' 'sendmail'
cmp /usr/sbin/sendmail /usr/bin/sendmail-spool || die 'sendmail is not that of the upgrade'
grep -q "^smtpaddr 127.0.0.1:$port" /etc/spoolgore.conf || die 'the configuration is gone'
spoolgore -version | grep -q '^spoolgore 1\.0\.0~two ' || die 'the version'
start_daemon
until_true queue_is_empty
stop_daemon
until_true has_arrived 'Subject: queued' 3
until_true has_arrived 'Subject: meanwhile' "$meanwhile"
is "$(arrivals 'Subject: queued')" 3 'of what was in the queue'
is "$(arrivals 'Subject: meanwhile')" "$meanwhile" 'of what came in meanwhile'

step 'remove: the mail stays, and is sent after another installation'
mail_as nobody 'left behind'
apt remove spoolgore
[ ! -e /usr/sbin/sendmail ] || die 'sendmail is still there'
is "$(queue | wc -l)" 1 'mail in the spool'
[ ! -e /usr/lib/spoolgore ] || die 'the setgid command is still there'
apt install /tmp/host/spoolgore_1.0.0~two_*.deb
start_daemon
until_true has_arrived 'Subject: left behind'
until_true queue_is_empty
stop_daemon

step 'purge, with mail in the spool: it is kept'
mail_as nobody 'kept'
before=$(find $spool -printf '%M %u:%g %p %s\n' | sort)
apt purge spoolgore | tee /tmp/purge
grep -q 'there is mail in /var/spool/spoolgore' /tmp/purge || die 'nothing was said of the mail'
is "$(find $spool -printf '%M %u:%g %p %s\n' | sort)" "$before" 'the spool'
[ ! -e /etc/spoolgore.conf ] || die 'the configuration is still there'
getent passwd spoolgore >/dev/null || die 'the owner of the mail is gone'

step 'purge, with mail in a spool elsewhere: the user is kept'
apt install /tmp/host/spoolgore_1.0.0~two_*.deb
is "$(queue | wc -l)" 1 'mail in the spool'
rm "$(queue)"
install -d -m 2770 -o spoolgore -g spoolgore /tmp/elsewhere
sed -i 's|^dir .*|dir /tmp/elsewhere|' /etc/spoolgore.conf
mail_as nobody 'elsewhere'
apt purge spoolgore | tee /tmp/purge
grep -q 'there is mail in /tmp/elsewhere' /tmp/purge || die 'nothing was said of the mail'
grep -l 'Subject: elsewhere' /tmp/elsewhere/*.eml
getent passwd spoolgore >/dev/null || die 'the owner of the mail is gone'
rm -r /tmp/elsewhere

step 'purge, with an empty spool: nothing is left'
apt install /tmp/host/spoolgore_1.0.0~two_*.deb
apt purge spoolgore
everything >/tmp/after
diff /tmp/before /tmp/after || die 'this was left or taken (<: before, >: after)'

step 'all is well'
