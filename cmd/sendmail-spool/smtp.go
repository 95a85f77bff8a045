//go:build unix

package main

import "io"

// serveSMTP is -bs: an SMTP session on standard input and output. A message of it is completed by
// sendmail.Defaults.Complete and left in the spool by put.
func (s *shim) serveSMTP(io.Reader, io.Writer) error {
	return fail(exitUnavailable, "-bs: SMTP is not spoken here; give recipients, or -t, and the message on standard input")
}
