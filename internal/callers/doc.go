// Package callers holds tests only: real programs send mail, each with its own call of sendmail. The mail goes through
// sendmail-spool and the daemon to a relay. The tests compare sender, recipients and every byte of the content.
//
// The command is mounted over /usr/sbin/sendmail in a private namespace, with a copy of /etc that names the spool,
// because programs like cron hand on no environment. The tests need root and Linux. A test without its program is
// skipped, but fails if $CI is set: there .ci/full has installed all programs.
package callers
