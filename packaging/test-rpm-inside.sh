#!/bin/bash
# The part of test-nfpm.sh that runs in the copy of the machine. Do not run it elsewhere: it replaces the mail system.
. /tmp/host/test-inside.sh

install_rpm() { rpm "$1" --force-debian --nodeps /tmp/host/spoolgore-"$2"-1.x86_64.rpm 2>&1 </dev/null; }
secret=/etc/spoolgore/credentials/smtppassword

dpkg --purge --force-depends postfix bsd-mailx >/dev/null 2>&1 || true
[ ! -e /usr/sbin/sendmail ] || die 'another mail system is still there'

step 'rpm: installation'
install_rpm -i 1.1.0
is "$(mode $command)" '-rwxr-sr-x root:spoolgore' 'sendmail'
is "$(readlink -f /usr/sbin/sendmail)" $command 'sendmail'
is "$(mode $spool/failed)" 'drwxrws--- spoolgore:spoolgore' 'failed/'
is "$(mode $conf)" '-rw-r--r-- root:root' $conf
is "$(mailq)" 'Mail queue is empty' 'mailq'
echo "smtpaddr 127.0.0.1:$((port + 1))" >>$conf
printf 'smtpuser me\nsmtppassword %s\n' "$password" >>$conf
mail_as nobody 'of a user'

step 'rpm: upgrade, with mail in the queue and a password in the configuration'
exec 9<$command
install_rpm -U 1.1.1
is "$(stat -L -c %A /proc/self/fd/9)" '-rwxr-xr-x' 'the old command that a process has open'
exec 9<&-
is "$(mode $command)" '-rwxr-sr-x root:spoolgore' 'sendmail'
is "$(readlink -f /usr/bin/mailq)" $command 'mailq'
is "$(cat $secret)" "$password" 'the password'
if grep -F "$password" $conf; then die 'the password is still in the configuration'; fi
spoolgore -version | grep -q '^spoolgore 1\.1\.1 ' || die 'the version'
start_daemon
until_true has_arrived 'Subject: of a user'
until_true queue_is_empty
stop_daemon
is "$(arrivals 'X-Login: me')" 1 'mail sent with the login'

step 'rpm: removal keeps mail and settings'
mail_as nobody 'kept'
rpm -e --force-debian spoolgore </dev/null
for file in /usr/sbin/sendmail /usr/bin/mailq /usr/lib/spoolgore /usr/bin/spoolgore; do
	if [ -e $file ] || [ -h $file ]; then die "$file is still there"; fi
done
is "$(queue | wc -l)" 1 'mail in the spool'
is "$(cat $secret)" "$password" 'the password'
grep -q "^smtpaddr" $conf || die 'the configuration is gone'

step 'all is well'
