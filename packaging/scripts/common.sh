# Functions of the maintainer scripts of all packages. The build puts this file in front of each script.

spool=/var/spool/spoolgore
conf=/etc/spoolgore.conf
credentials=/etc/spoolgore/credentials
command=/usr/lib/spoolgore/sendmail # setgid: the sendmail of all users

# make_account creates the user and the group spoolgore.
make_account() {
	if command -v groupadd >/dev/null; then
		getent group spoolgore >/dev/null || groupadd --system spoolgore
		getent passwd spoolgore >/dev/null ||
			useradd --system -g spoolgore -d "$spool" -s /usr/sbin/nologin -c Spoolgore spoolgore
	else # BusyBox
		getent group spoolgore >/dev/null || addgroup -S spoolgore
		getent passwd spoolgore >/dev/null ||
			adduser -S -D -H -G spoolgore -h "$spool" -s /sbin/nologin -g Spoolgore spoolgore
	fi
}

# as_account runs a shell command with the rights of the user spoolgore and none of root's.
as_account() {
	if command -v runuser >/dev/null; then
		runuser -u spoolgore -- sh -c "$1" </dev/null
	else
		su -s /bin/sh spoolgore -c "$1" </dev/null
	fi
}

# make_spool creates the spool and its directories. Root works in /var/spool only: the spool belongs to another user, who
# could put a link in place of a directory. A failure inside the spool does not stop the installation: the daemon reports it.
make_spool() {
	if [ ! -e "$spool" ] && [ ! -h "$spool" ]; then
		mkdir -m 0700 "$spool"
		chown spoolgore:spoolgore "$spool"
		chmod 2770 "$spool"
	fi
	as_account "cd $spool && for dir in tmp failed hold; do [ -d \$dir ] || mkdir -m 2770 \$dir; done" ||
		echo "spoolgore: cannot create tmp, failed and hold in $spool; look at that directory" >&2
}

# make_conf installs the configuration if there is none.
make_conf() {
	if [ ! -e "$conf" ] && [ ! -h "$conf" ]; then
		install -m 0644 -o root -g root /usr/share/spoolgore/spoolgore.conf "$conf"
	fi
}

# setting prints the value of a key in the configuration.
setting() {
	awk -v key="$1" '{ sub(/\r$/, "") } $1 == key { sub(/^[ \t]*[^ \t]+[ \t]*/, ""); sub(/[ \t]+$/, ""); value = $0 }
		END { printf "%s", value }' "$conf"
}

# write_secret NAME VALUE makes the file NAME in the directory of credentials.
write_secret() {
	rm -f "$credentials/.new"
	(umask 077 && printf '%s\n' "$2" >"$credentials/.new")
	sync "$credentials/.new"
	mv -f "$credentials/.new" "$credentials/$1"
}

# move_secrets moves passwords and tokens from the configuration, which sendmail reads with the rights of its caller, to
# files that only root reads. Afterwards every user may read the configuration.
move_secrets() {
	if [ ! -d "$credentials" ]; then
		mkdir -p "${credentials%/*}"
		mkdir -m 0700 "$credentials"
	fi
	[ -f "$conf" ] || return 0
	if [ -h "$conf" ]; then
		echo "spoolgore: $conf is a link and stays as it is; passwords belong in $credentials" >&2
		return 0
	fi
	moved=
	for key in smtpmd5password smtppassword httptoken; do
		value=$(setting "$key")
		[ -n "$value" ] || continue
		name=$key
		# Both logins use one credential. smtpuser goes before smtpmd5user.
		[ "$key" != smtpmd5password ] || [ -n "$(setting smtpuser)" ] || name=smtppassword
		write_secret "$name" "$value"
		moved="$moved $key"
	done
	if [ -n "$moved" ]; then
		rm -f "$conf.new"
		(umask 077 && awk -v keys="$moved " -v dir="$credentials" '
			index(keys, " " $1 " ") { print "# " $1 ": moved to " dir; next }
			{ print }' "$conf" >"$conf.new")
		chmod 0644 "$conf.new"
		sync "$conf.new"
		mv -f "$conf.new" "$conf"
		echo "spoolgore: moved from $conf to $credentials:$moved"
	elif [ "$(stat -c '%a %G' "$conf")" = '640 spoolgore' ]; then # as the first version made it
		chown root:root "$conf"
		chmod 0644 "$conf"
	fi
}

# disarm removes a setgid command. First it takes the setgid bit off, as a process that has the file open can still run it.
disarm() {
	[ -f "$1" ] && [ ! -h "$1" ] || return 0
	chmod 0755 "$1"
	rm -f "$1"
}

# install_commands USER GROUP MODE installs or replaces the setgid commands: sendmail, and on amd64 sendmail32, the same
# program for processes with little address space.
install_commands() {
	install_command "$@" /usr/bin/sendmail-spool "$command"
	if [ -f /usr/libexec/spoolgore/sendmail-spool32 ]; then
		install_command "$@" /usr/libexec/spoolgore/sendmail-spool32 "${command}32"
	fi
}

# install_command USER GROUP MODE FILE COMMAND installs or replaces one setgid command. At every moment there is a command
# that works: the new one is renamed over the old one.
install_command() {
	mkdir -p "${5%/*}"
	disarm "$5.old"
	disarm "$5.new"
	[ ! -f "$5" ] || ln "$5" "$5.old"
	install -o "$1" -g "$2" -m "$3" "$4" "$5.new"
	sync "$5.new"
	mv -f "$5.new" "$5"
	disarm "$5.old"
}

# remove_commands removes the setgid commands.
remove_commands() {
	for each in "$command" "${command}32"; do
		disarm "$each.old"
		disarm "$each.new"
		disarm "$each"
	done
	[ ! -d "${command%/*}" ] || rmdir "${command%/*}" || true
}
