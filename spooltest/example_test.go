package spooltest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/spooltest"
)

// Invite is the program under test.
func Invite(spool *spoolgore.Spool, address string) error {
	return spool.Send("app@example.com", []string{address}, []byte("Subject: come\r\n\r\nCome at eight.\r\n"))
}

// A test that lets five days pass: the mailbox of the recipient is full all the time, so the sender gets a report.
func Example() {
	TestInvite := func(t *testing.T) {
		spooltest.Test(t, spoolgore.Options{}, func(t *testing.T, spool *spooltest.Spool) {
			full := slices.Repeat([]error{spooltest.Later("mailbox full")}, 1000)
			spool.Transport.Script("ann@example.org", full...)
			if err := Invite(spool.Spool, "ann@example.org"); err != nil {
				t.Fatal(err)
			}
			spool.Advance(5*24*time.Hour + time.Hour)
			for _, mail := range spool.Transport.Sent() {
				fmt.Println(mail.To, mail.Header("Subject")) // [app@example.com] Not delivered: come
			}
		})
	}
	_ = TestInvite // go test runs it in a file of the program
}
