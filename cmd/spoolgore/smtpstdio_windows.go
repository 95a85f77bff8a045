package main

// smtpStdio is for "sendmail-spool -bs", which does not exist on Windows.
func smtpStdio([]string) (code int, ok bool) { return 0, false }
