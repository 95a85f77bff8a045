#!/bin/bash
# The part of test-deb.sh that runs in the copy of the machine. Do not run it elsewhere: it replaces the mail system.
. /tmp/host/test-inside.sh

# apt and dpkg get no terminal, no answers, and no front end that would invent some.
apt() { apt-get -y -q -o Dpkg::Use-Pty=0 "$@" </dev/null; }
upgrade() { dpkg -i /tmp/host/spoolgore_"$1"_*.deb </dev/null; }

# everything: what differs from the original of this machine in the places where a package and its scripts leave files,
# and users and groups, but for what the steps themselves write: cron.d and aliases. (A change of the original itself meanwhile is not seen.)
everything() {
	(cd /tmp/upper && find etc usr var/spool var/lib/systemd -path etc/cron.d -prune -o -path etc/aliases -prune \
		-o -printf '%M %u:%g %p %l\n' | sort)
	getent passwd; getent group
}

step 'installation over another mail system'
apt install /tmp/host/spoolgore_1.1.0~one_*.deb
if dpkg -s postfix 2>/dev/null | grep -q '^Status: install ok'; then die 'Postfix is still there'; fi
is "$(mailq)" 'Mail queue is empty' 'mailq'
apt purge spoolgore postfix >/dev/null
everything >/tmp/before
if grep spoolgore /tmp/before; then die 'this was left'; fi

step 'installation'
upgrade 1.1.0~one
is "$(mode /usr/sbin/sendmail)" '-rwxr-sr-x root:spoolgore' 'sendmail'
is "$(mode /usr/bin/sendmail-spool)" '-rwxr-xr-x root:root' 'sendmail-spool'
for dir in $spool $spool/tmp $spool/failed $spool/hold; do
	is "$(mode $dir)" 'drwxrws--- spoolgore:spoolgore' "$dir"
done
is "$(mode $conf)" '-rw-r--r-- root:root' $conf
is "$(mode /etc/spoolgore/credentials)" 'drwx------ root:root' 'credentials'
is "$(grep -v '^#\|^$' $conf)" "dir $spool" 'settings in force'
is "$(mailq)" 'Mail queue is empty' 'mailq'
spoolgore -version | grep -q '^spoolgore 1\.1\.0~one ([0-9a-f]*, 20[0-9-]*) ' || die 'the version'
for page in man8/spoolgore.8 man8/sendmail.8 man1/mailq.1 man5/spoolgore-spool.5; do
	zcat "/usr/share/man/$page.gz" | grep -q '^\.Dt' || die "$page"
done
bash -c '. /usr/share/bash-completion/completions/spoolgore && complete -p spoolgore' >/dev/null || die 'completion'
units=/usr/lib/systemd
systemd-analyze verify --man=no $units/system/spoolgore.service $units/system/spoolgore@.service \
	$units/system/spoolgore-smtp.socket || die 'a unit'
XDG_RUNTIME_DIR=/run systemd-analyze verify --man=no --user $units/user/spoolgore.service || die "the user's unit"
for unit in spoolgore.service spoolgore@.service; do # the figure in docs/installing.md, ten times
	systemd-analyze security --offline=yes --no-pager --threshold=14 "$units/system/$unit" >/tmp/security ||
		die "$(grep '✗' /tmp/security)"
done

step 'one line of configuration, then mail of cron and of a user'
echo "smtpaddr 127.0.0.1:$port" >>$conf
start_daemon
rm -f /etc/cron.d/*
echo '@reboot root echo hello from cron' >/etc/cron.d/hello
cron
until_true has_arrived 'hello from cron'
grep -q '^X-Mail-Args: <root@' "$(grep -l 'hello from cron' $arrived/*)" || die 'the sender of the mail of cron'
mail_as nobody 'of a user'
until_true has_arrived 'Subject: of a user'
if as nobody ls $spool 2>/dev/null; then die 'a user reads the spool'; fi
runuser -u spoolgore -- spoolgore test -config $conf b@example.org | tee /tmp/test
grep -q 'The relay has' /tmp/test || die 'spoolgore test'
until_true queue_is_empty
stop_daemon

step 'mail() of PHP: root by /etc/aliases, and another From'
# show COMMAND...: print the command and run it. The output of this step is a transcript.
show() { printf '$ %s\n' "$*"; "$@" 2>&1 | sed 's/^/  /'; }
printf 'root: you@example.com\n' >/etc/aliases
echo 'from app@example.com' >>$conf
show cat /etc/aliases
show grep -v '^#\|^$' $conf
start_daemon
code='var_dump(mail("root", "report of the night", "Hello from PHP", "From: Shop <www-data@web1.localdomain>"));'
show as www-data php -r 'echo ini_get("sendmail_path"), "\n";'
show as www-data php -r "$code"
until_true has_arrived 'Subject: report of the night'
until_true queue_is_empty
stop_daemon
night=$(grep -l 'Subject: report of the night' $arrived/*[0-9])
show cat "$night"
show runuser -u spoolgore -- spoolgore trace -config $conf you@example.com
grep -q '^X-Mail-Args: <app@example.com>' "$night" || die 'the sender of the mail of PHP'
grep -q '^X-Rcpt: <you@example.com>' "$night" || die 'the recipient of the mail of PHP'
grep -q '^From: Shop <app@example.com>' "$night" || die 'From of the mail of PHP'
grep -q '^Reply-To: .*www-data@web1.localdomain' "$night" || die 'Reply-To of the mail of PHP'
sed -i '/^from /d' $conf

step 'sendmail32 takes mail in little address space'
is "$(mode ${command}32)" '-rwxr-sr-x root:spoolgore' 'sendmail32'
if "${command}32" -bP >/dev/null 2>/tmp/sendmail32 || ! grep -q 'Exec format error' /tmp/sendmail32; then
	(ulimit -v 262144 && printf 'Subject: small\n\nHello!\n' | as nobody "${command}32" b@example.org) || die 'sendmail32'
	is "$(queue | wc -l)" 1 'mail of sendmail32 in the spool'
	rm "$(queue)"
	session='MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\nSubject: small\r\n\r\n.\r\nQUIT\r\n'
	# shellcheck disable=SC2059 # the session is the format
	(ulimit -v 262144 && printf "$session" | as nobody "${command}32" -bs >/tmp/session) || die 'sendmail32 -bs'
	is "$(queue | wc -l)" 1 'mail of sendmail32 -bs in the spool'
	rm "$(queue)"
fi

step 'removal keeps mail, and it is sent after another installation'
mail_as nobody 'left behind'
exec 9<$command
dpkg -r spoolgore </dev/null
[ ! -e /usr/sbin/sendmail ] || die 'sendmail is still there'
is "$(queue | wc -l)" 1 'mail in the spool'
[ ! -e /usr/lib/spoolgore ] || die 'a setgid command is still there'
is "$(stat -L -c %A /proc/self/fd/9)" '-rwxr-xr-x' 'the removed command that a process has open'
exec 9<&-
upgrade 1.1.0~one
start_daemon
until_true has_arrived 'Subject: left behind'
until_true queue_is_empty
stop_daemon

step 'upgrade from this version: dpkg-statoverride holds'
dpkg-statoverride --update --add root daemon 2750 $command
upgrade 1.1.0~two
is "$(mode $command)" '-rwxr-s--- root:daemon' 'a command with an override'
dpkg-statoverride --remove $command

step 'upgrade: the owner of the spool cannot mislead root'
mkdir /tmp/victim
as spoolgore sh -c "cd $spool && rmdir failed hold tmp && ln -s /tmp/victim failed && ln -s /nowhere hold && ln -s /victim tmp"
upgrade 1.1.0~one 2>&1 | tee /tmp/misled
is "$(dpkg-query -W -f '${db:Status-Status}' spoolgore)" installed 'the package'
grep -q "cannot create tmp, failed and hold in $spool" /tmp/misled || die 'no word of the links'
is "$(mode /tmp/victim)" 'drwxr-xr-x root:root' 'a directory behind a link'
if [ -e /victim ] || [ -e /nowhere ]; then die 'root made a directory for a link'; fi
is "$(mode $command)" '-rwxr-sr-x root:spoolgore' 'sendmail'
rm $spool/failed $spool/hold $spool/tmp
dpkg -P spoolgore </dev/null
if [ -e $spool ]; then die 'an empty spool was left'; fi

step 'version 1, with a login, mail in flight and mail in the queue'
upgrade 1.0.0
is "$(mode $conf)" '-rw-r----- root:spoolgore' "$conf of version 1"
cat >>$conf <<EOF
smtpaddr 127.0.0.1:$((port + 1))
smtpuser me
  smtppassword	$password
httptoken fedcba98765432100123
maxage 100h
EOF
start_daemon
for n in 1 2 3; do mail_as nobody "in flight, slow $n"; done
for n in 1 2 3; do
	printf 'From: a@example.org\nTo: b@example.org\nSubject: held %s\n\nHello!\n' $n |
		as spoolgore sh -c "cat >$spool/hold/$n"
done
until_true test -e $arrived/waiting
# Calls of the command from before to after the upgrade. Each must succeed.
(
	n=0
	while [ ! -e /tmp/upgraded ]; do
		n=$((n + 1))
		mail_as daemon "meanwhile $n" || die "call $n of sendmail during the upgrade"
	done
	echo $n >/tmp/meanwhile
) &
sender=$!
exec 9<$command

step 'upgrade from version 1'
upgrade 1.1.0~one
touch /tmp/upgraded
wait $sender
touch $arrived/go
stop_daemon # as systemd does for postinst
meanwhile=$(cat /tmp/meanwhile)
echo "$meanwhile messages were sent during the upgrade"
mailq
is "$(mode /usr/sbin/sendmail)" '-rwxr-sr-x root:spoolgore' 'sendmail'
cmp /usr/sbin/sendmail /usr/bin/sendmail-spool || die 'sendmail is not that of the new version'
is "$(stat -L -c %A /proc/self/fd/9)" '-rwxr-xr-x' 'the old command that a process has open'
exec 9<&-
is "$(mode $conf)" '-rw-r--r-- root:root' $conf
if grep -e "$password" -e fedcba98765432100123 $conf; then die 'a secret is still in the configuration'; fi
is "$(cat /etc/spoolgore/credentials/smtppassword)" "$password" 'the password'
is "$(cat /etc/spoolgore/credentials/httptoken)" fedcba98765432100123 'the token'
is "$(mode /etc/spoolgore/credentials/smtppassword)" '-rw------- root:root' 'the password'
if as nobody cat /etc/spoolgore/credentials/smtppassword 2>/dev/null; then die 'a user reads the password'; fi
is "$(grep -v '^#\|^$' $conf)" "dir $spool
smtpaddr 127.0.0.1:$((port + 1))
smtpuser me
maxage 100h" 'settings after the upgrade'
start_daemon
until_true queue_is_empty
runuser -u spoolgore -- spoolgore release -all $spool
until_true has_arrived 'Subject: held' 3
until_true has_arrived 'Subject: in flight' 3
until_true has_arrived 'Subject: meanwhile' "$meanwhile"
until_true queue_is_empty
stop_daemon
is "$(arrivals 'Subject: held')" 3 'mail that was held'
is "$(arrivals 'Subject: in flight')" 3 'mail that was in flight'
is "$(arrivals 'Subject: meanwhile')" "$meanwhile" 'mail that came meanwhile'
is "$(arrivals 'X-Login: me')" $((meanwhile + 6)) 'mail sent with the login'
spoolgore test b@example.org | tee /tmp/test # finds the password that systemd hands to the daemon
grep -q 'The relay has accepted it' /tmp/test || die 'spoolgore test with a login'
spoolgore -config $conf -checkconfig || die 'the check of the configuration'

step 'upgrade again: nothing changes'
before=$(cat $conf /etc/spoolgore/credentials/*)
upgrade 1.1.0~two
is "$(cat $conf /etc/spoolgore/credentials/*)" "$before" 'configuration and credentials'

step 'purge, with mail in the spool: it is kept'
mail_as nobody 'kept'
before=$(find $spool -printf '%M %u:%g %p %s\n' | sort)
dpkg -P spoolgore </dev/null | tee /tmp/purge
grep -q "there is mail in $spool" /tmp/purge || die 'no word of the mail'
is "$(find $spool -printf '%M %u:%g %p %s\n' | sort)" "$before" 'the spool'
[ ! -e $conf ] || die 'the configuration is still there'
[ ! -e /etc/spoolgore ] || die 'the password is still there'
getent passwd spoolgore >/dev/null || die 'the owner of the mail is gone'

step 'purge, with mail in a spool elsewhere: the user is kept'
upgrade 1.1.0~two
is "$(queue | wc -l)" 1 'mail in the spool'
rm "$(queue)"
install -d -m 2770 -o spoolgore -g spoolgore /tmp/elsewhere
sed -i 's|^dir .*|dir /tmp/elsewhere|' $conf
mail_as nobody 'elsewhere'
dpkg -P spoolgore </dev/null | tee /tmp/purge
grep -q 'there is mail in /tmp/elsewhere' /tmp/purge || die 'no word of the mail'
grep -l 'Subject: elsewhere' /tmp/elsewhere/*.eml
getent passwd spoolgore >/dev/null || die 'the owner of the mail is gone'
rm -r /tmp/elsewhere

step 'purge, with an empty spool: nothing is left'
upgrade 1.1.0~two
dpkg -P spoolgore </dev/null
everything >/tmp/after
diff /tmp/before /tmp/after || die 'this was left or taken (<: before, >: after)'

step 'all is well'
