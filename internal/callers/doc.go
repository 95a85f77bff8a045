// Package callers holds tests only: real programs send mail, each as it calls sendmail, and what arrives at a relay,
// through sendmail-spool and the daemon, is compared with what they sent: sender, recipients, and every byte.
//
// The command is mounted over /usr/sbin/sendmail in a namespace of its own, with a copy of /etc that says where the
// spool is, as programs like cron hand no environment on. That needs root and Linux. A test whose program is missing
// is skipped and says why, but fails where $CI is set: there .ci/full has installed all of them.
package callers
