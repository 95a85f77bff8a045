package mailq_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// another is a message for one recipient, with another Message-ID than those of to.
func another(address string) string {
	return strings.Replace(to(address), "<1@x>", "<2@x>", 1)
}

// newRecipients gives the message m of a spool another recipient in place of later@y.org, and returns the recipients of
// the file.
func newRecipients(t *testing.T, dir string, place spooldir.Place) []string {
	t.Helper()
	check(t, view(t, dir, "").Readdress(place, "m", func(addr string) ([]string, error) {
		return []string{strings.Replace(addr, "later@y.org", "new@y.org", 1)}, nil
	}))
	if place == spooldir.Failed {
		place = spooldir.Spool
	}
	f, err := os.Open(filepath.Join(dir, string(place), "m"))
	check(t, err)
	defer f.Close()
	fi, err := f.Stat()
	check(t, err)
	h, err := message.ReadHeader(f, fi.Size())
	check(t, err)
	var all []string
	for _, a := range h.Addresses().To {
		all = append(all, a.Addr)
	}
	return all
}

// Another message takes the name of a message that one recipient has accepted. It gets nothing of the old message: the
// status file has the record of the old one for some minutes.
func TestMessageThatReplacesAnother(t *testing.T) {
	for _, read := range []bool{false, true} {
		is := is.New(t)
		dir := t.TempDir()
		write(t, dir, "m", to("ok@x.org, later@y.org"))
		drain(t, dir)
		check(t, os.Remove(filepath.Join(dir, "m")))
		write(t, dir, "m", another("later@z.org"))
		if read {
			drain(t, dir)
			got, _ := rows(t, view(t, dir, ""), everywhere)
			is.Equal(got["m"].To[0].Address, "later@z.org")
			e, err := view(t, dir, "").Find(spooldir.Spool, "m")
			is.NoErr(err)
			is.Equal(e.To[0].Address, "later@z.org")
			is.Equal(e.State, mailq.Deferred)
		}
		is.Equal(newRecipients(t, dir, spooldir.Spool), []string{"later@z.org"})
	}
}

// The file of a message was edited, and no daemon has read it since. Other recipients take the place of those that the
// file has now.
func TestReaddressAfterAnEdit(t *testing.T) {
	for place, refused := range map[spooldir.Place]string{spooldir.Spool: "", spooldir.Hold: "", spooldir.Failed: "no@z.org, "} {
		for _, id := range []string{"Message-ID: <1@x>\n", ""} {
			is := is.New(t)
			dir := t.TempDir()
			text := strings.Replace(to(refused+"ok@x.org, later@y.org"), "Message-ID: <1@x>\n", id, 1)
			if refused != "" {
				text = strings.Replace(text, ", later@y.org", "", 1)
			}
			write(t, dir, "m", text)
			drain(t, dir)
			path := filepath.Join(dir, string(place), "m")
			if place == spooldir.Hold {
				check(t, os.Rename(filepath.Join(dir, "m"), path))
			}
			check(t, os.WriteFile(path, []byte("Cc: later@y.org, more@z.org\n"+text), 0o600))
			got := strings.Join(newRecipients(t, dir, place), " ")
			is.True(strings.Contains(got, "ok@x.org"))
			is.True(strings.Contains(got, "new@y.org"))
			is.True(strings.Contains(got, "more@z.org")) // new in the file
		}
	}
}

// A message with too many recipients is in failed/, with a record of some of them. Other recipients take the place of
// all.
func TestReaddressOfTooManyRecipients(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	write(t, dir, "m", to("later@y.org, b@x.org, c@x.org, d@x.org, e@x.org, f@x.org, g@x.org"))
	check(t, spoolgore.New(dir, spoolgore.Options{Transport: relay{}, NoReports: true, MaxRecipients: 6}).Drain(t.Context()))
	got := newRecipients(t, dir, spooldir.Failed)
	is.Equal(got, []string{"new@y.org", "b@x.org", "c@x.org", "d@x.org", "e@x.org", "f@x.org", "g@x.org"})
}
