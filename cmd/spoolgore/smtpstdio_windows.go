package main

// smtpStdio is for sendmail-spool, which exists on Unix only.
func smtpStdio([]string) (code int, ok bool) { return 0, false }
