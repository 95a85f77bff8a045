package cli

const help = `Spoolgore sends the mail messages found as files in a directory through a mail relay, and keeps trying until
each is delivered or given up.

usage: spoolgore [flags] [DIR]
       spoolgore COMMAND [flags] DIR ...
       spoolgore demo          show it at work, with a relay and a spool of its own (-keep keeps the spool)

Commands work on a spool whether a daemon runs or not. spoolgore help COMMAND says more of each.
  list DIR                     the messages in it: state, age, next attempt, sender, recipients, reason
  show DIR NAME                all that is known of one, with its header; -raw: the file
  hold, release DIR NAME...    set messages aside, and take them back
  delete DIR NAME...           delete messages; asks first
  retry DIR NAME...            try messages now; -failed: those that were given up
  flush DIR                    have the daemon try everything now
  stats DIR                    who waits, for how long and why; relays; pace; -watch: again and again
  check DIR                    a plugin for monitoring
  explain FILE                 what would happen to a message file; -probe: what its relay says of it
  test ADDRESS [DIR]           send one message, and say what comes of each step
  completion SHELL             completion for bash, zsh or fish

Relay
  -smtpaddr LIST               the relay, as HOST:PORT, smtp://HOST, smtps://HOST, lmtp://HOST:PORT, lmtp+unix:///PATH,
                               mx:DOMAIN or srv:DOMAIN; several, in order of preference, separated by commas
                               (127.0.0.1:25)
  -relays FILE                 other relays for the mail of some senders, see below
  -smtptimeout TIME            limit of each step of a delivery (the limits of RFC 5321)
  -localname NAME              name to greet the relay with (that of this host)
  -concurrency N               connections to a relay at the same time, at most; several hundred work (20)
  -rate LIST                   recipients in a second, minute, hour, day, at most, as 14/s,600/m,50000/d (no limit)
  -nopipelining                do without PIPELINING, and so CHUNKING, although the relay offers it
  -nochunking                  do without CHUNKING although the relay offers it
  -window N                    small messages that may share a flight where the relay offers CHUNKING: as many can
                               arrive twice after a lost connection (4)

Login
  -smtpuser USER               log in with the strongest mechanism that the relay offers, over verified TLS only
  -smtpmd5user USER            log in with CRAM-MD5; ignored with -smtpuser
  -smtpauth MECHANISM          the only mechanism to use: SCRAM-SHA-256-PLUS, SCRAM-SHA-256, PLAIN, LOGIN, CRAM-MD5,
                               XOAUTH2, OAUTHBEARER, EXTERNAL
  -smtptoken                   the password is an OAuth 2.0 access token
  The password is what the first of these gives:
  -smtppasswordfile FILE       a file with one line, read for each login
  -smtppasswordcmd COMMAND     the first line that /bin/sh -c COMMAND prints within 30 seconds; it is run again when the
                               relay has refused the last one; its standard error goes to the log
  -smtppassword PASSWORD       for -smtpuser; every user of this host can see it
  -smtpmd5password PASSWORD    for -smtpmd5user; every user of this host can see it
  SPOOLGORE_SMTPPASSWORD       in the environment, for -smtpuser; SPOOLGORE_SMTPMD5PASSWORD for -smtpmd5user
  $CREDENTIALS_DIRECTORY       a directory that systemd makes (LoadCredential=); of it the file smtppassword

TLS
  -smtptls MODE                auto: from the first byte on port 465, else STARTTLS where it is offered; starttls: it
                               must be offered; tls: from the first byte; none (auto)
  -smtpca FILE                 certificates (PEM) of the only authorities to trust (those of the system)
  -smtpcert FILE               certificate (PEM) to show to the relay
  -smtpkey FILE                its key (PEM)
  -smtppin LIST                sha256//BASE64 of public keys, separated by commas: the relay must have one of them, and
                               its certificate is not verified further

Queue
  -freq TIME                   time between two scans of the directory (10)
  -attempts N                  failed attempts after which a recipient is given up (100)
  -maxage TIME                 age at which a message is given up (120h)
  -bounce                      tell the sender, by mail, of a message that was given up; -bounce=false: do not (true)
  -warnafter TIME              age at which the sender of a message that is still tried is told so, once (never)
  -onfail COMMAND              for each message that was given up, run /bin/sh -c COMMAND, one at a time and for 30
                               seconds at most, with SPOOLGORE_FILE (the message in failed/), SPOOLGORE_WHY (the JSON
                               file beside it), SPOOLGORE_FROM, SPOOLGORE_TO (a line for each recipient given up),
                               SPOOLGORE_REASON and SPOOLGORE_MESSAGE_ID in its environment
  -json PATH                   the status file (DIR/.spoolgore.js)
  -once                        try everything that is due once, and end

Seen from outside
  -http ADDRESS                show the spool over HTTP: a page at /, /metrics, /healthz, /status. HOST:PORT; without a
                               HOST, as 8025, only this host can reach it, and every user of it (nowhere)
  -httptokenfile FILE          a file with one line, 16 characters or more, that has to be given to see it: as password
                               with any name, or as Authorization: Bearer. Where other hosts can reach it, it is needed
  -httptoken TOKEN             the same; every user of this host can see it
  SPOOLGORE_HTTPTOKEN          in the environment, or the file httptoken in $CREDENTIALS_DIRECTORY: the same

Configuration
  -config FILE                 lines of a flag's name, blanks and a value, see below; without it no file is read
  -printconfig                 show every setting, and where it stands, without passwords, and end

Other
  -logjson                     log lines in JSON; the log goes to standard error
  -verbose                     log more
  -version                     print the version
  -help                        print this

TIME is a number of seconds, or has a unit: 10, 500ms, 1m, 2h30m. What holds without a flag is in parentheses.
Flags go before DIR. A directory that is called as a command is ./NAME.

Configuration file, and the environment
  Every flag can stand in the file of -config, as "freq 5m", or in the environment, as SPOOLGORE_FREQ=5m. The command
  line counts more than the environment, and that more than the file. A switch alone is on; yes and no do as well. In
  the file DIR is dir, with %u for the user and %h for the home directory, names of files are relative to its own
  directory, and a line that begins with # is a comment. An empty variable says nothing. DIR is SPOOLGORE_DIR there.
  /etc/spoolgore.conf, which sendmail-spool reads, is a file for -config too. -printconfig shows what comes of it all.

Relays file
  SENDER RELAYS [KEY=VALUE ...]
  SENDER is an address, @DOMAIN, or * for all others (without it: -smtpaddr); the most exact one counts. RELAYS are
  as for -smtpaddr. The keys are user, password, passwordfile, passwordcmd, token (yes), auth, tls, ca, cert, key, pin,
  each as the flag of its name; none of those flags counts for these relays. "VALUES WITH SPACES" are quoted, files are
  relative to the directory of the relays file, and # begins a comment.

Signals
  TERM, INT                    finish what is in flight (up to 30 seconds), write the status file, end; again: at once
  URG, USR1                    scan, and retry everything that waits, now; ends a pause
  TSTP                         pause: bring the status file up to date, then leave it and the messages alone
  HUP                          read the configuration, the relays file, certificates and passwords again, for the mail
                               that waits too; take over the edited status file and end the pause; if one of them is
                               not valid, change nothing

Exit codes
  0   ended as told            64  wrong usage            70  the system failed, or the demo did
  1   a command could not do all that it was told
  75  the spool is run already, or with -once no relay could be used, or with flush no daemon runs: try again later
  78  something to put right: no such directory, no access, a status file that is not valid, a bad relay address,
      a configuration, relays file or certificate that cannot be used
`
