package spooltest_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/spooltest"
)

const text = "From: app@example.com\r\nSubject: hello\r\n\r\nHello!\r\n"

func send(t *testing.T, s *spooltest.Spool, to ...string) {
	t.Helper()
	if err := s.Send("app@example.com", to, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

func TestSentMail(t *testing.T) {
	s := spooltest.New(t, spoolgore.Options{}) // in real time
	send(t, s, "ann@example.org", "bob@example.org")
	s.WaitIdle()
	is, sent := is.New(t), s.Transport.Sent()
	is.Equal(len(sent), 1)
	is.Equal(sent[0].From, "app@example.com")
	is.Equal(sent[0].To, []string{"ann@example.org", "bob@example.org"})
	is.Equal(sent[0].Header("subject"), "hello")
	is.Equal(sent[0].Body(), "Hello!\r\n")
}

// A recipient is deferred for five days, and then given up: the sender gets a report.
func TestFiveDays(t *testing.T) {
	spooltest.Test(t, spoolgore.Options{}, func(t *testing.T, s *spooltest.Spool) {
		is, began := is.New(t), time.Now()
		always := make([]error, 1000)
		for i := range always {
			always[i] = spooltest.Later("mailbox full")
		}
		s.Transport.Script("ann@example.org", always...)
		send(t, s, "ann@example.org", "bob@example.org")
		s.Advance(4 * 24 * time.Hour)
		is.Equal(len(s.Status()), 1)         // ann's message waits
		is.Equal(len(s.Transport.Sent()), 1) // to bob
		s.Advance(25 * time.Hour)
		is.Equal(len(s.Status()), 0)
		sent := s.Transport.Sent()
		is.Equal(len(sent), 2)
		is.Equal(sent[1].To, []string{"app@example.com"}) // the report
		is.True(strings.Contains(sent[1].Body(), "mailbox full"))
		is.True(sent[1].Time.Sub(began) >= 5*24*time.Hour)
		is.True(s.Transport.Tries("ann@example.org") > 100)
	})
}

func TestScript(t *testing.T) {
	spooltest.Test(t, spoolgore.Options{NoReports: true}, func(t *testing.T, s *spooltest.Spool) {
		is := is.New(t)
		s.Transport.Script("ann@example.org", spooltest.Later("busy"), nil, spooltest.Never("no such user"))
		send(t, s, "ann@example.org")
		s.WaitIdle()
		is.Equal(len(s.Transport.Sent()), 0)
		s.Advance(time.Hour)
		is.Equal(len(s.Transport.Sent()), 1)
		send(t, s, "ann@example.org")
		s.WaitIdle()
		is.Equal(len(s.Status()), 0) // the messages are in failed/
		is.Equal(s.Transport.Tries("ann@example.org"), 3)
		s.Transport.Script("*", spooltest.Down())
		send(t, s, "bob@example.org")
		s.Advance(time.Hour)
		is.Equal(len(s.Transport.Sent()), 2)
	})
}

func TestFullDisk(t *testing.T) {
	spooltest.Test(t, spoolgore.Options{}, func(t *testing.T, s *spooltest.Spool) {
		is := is.New(t)
		s.WaitIdle()
		s.Disk.Full()
		err := s.Send("app@example.com", []string{"ann@example.org"}, []byte(text))
		is.True(errors.Is(err, spoolgore.ErrSpoolFull))
		s.Disk.Repair()
		s.Disk.Fail("sync", "", syscall.EIO)
		err = s.Send("app@example.com", []string{"ann@example.org"}, []byte(text))
		is.True(errors.Is(err, syscall.EIO))
		s.Disk.Repair()
		s.Advance(time.Minute)
		is.Equal(len(s.Transport.Sent()), 0) // a Put with an error leaves no message
		send(t, s, "ann@example.org")
		s.Advance(time.Minute)
		is.Equal(len(s.Transport.Sent()), 1)
	})
}

func TestRelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is, busy := is.New(t), true
		relay := &spooltest.Relay{Reply: func(verb, arg string) string {
			if verb == "RCPT" && busy {
				busy = false
				return "450 4.2.1 try again later"
			}
			return ""
		}}
		s := spooltest.New(t, spoolgore.Options{Dial: relay.Dial})
		send(t, s, "ann@example.org")
		s.WaitIdle()
		is.Equal(len(relay.Sent()), 0)
		began := time.Now()
		s.Advance(time.Minute)
		is.Equal(len(relay.Sent()), 1)
		is.Equal(relay.Sent()[0].Header("Subject"), "hello")
		is.True(relay.Sent()[0].Time.Sub(began) <= time.Minute)
		is.True(strings.HasPrefix(relay.Commands()[0], "EHLO"))
	})
}
