package mailq_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

var everywhere = []spooldir.Place{spooldir.Spool, spooldir.Hold, spooldir.Failed}

// relay accepts ok@, refuses no@ for good, and defers every other recipient.
type relay struct{}

func (relay) Deliver(_ context.Context, t *spoolgore.Transaction) (results []spoolgore.Result) {
	for _, to := range t.To {
		r := spoolgore.Result{Relay: "mail.example.com:25", TLS: "TLS 1.3"}
		switch {
		case strings.HasPrefix(to, "no@"):
			r.Reply = "550 5.1.1 no such user"
			r.Err = &spoolgore.DeliveryError{Fault: spoolgore.FaultRecipient, Op: "rcpt", Code: 550, Permanent: true, Err: errors.New(r.Reply)}
		case !strings.HasPrefix(to, "ok@"):
			r.Reply = "450 4.2.1 later"
			r.Err = &spoolgore.DeliveryError{Fault: spoolgore.FaultRecipient, Op: "rcpt", Code: 450, Err: errors.New(r.Reply)}
		}
		results = append(results, r)
	}
	return results
}

// drain runs the spool until no message is due.
func drain(t *testing.T, dir string) {
	t.Helper()
	check(t, spoolgore.New(dir, spoolgore.Options{Transport: relay{}, NoReports: true}).Drain(t.Context()))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	check(t, os.WriteFile(path, []byte(text), 0o600))
	old := time.Now().Add(-time.Minute)
	check(t, os.Chtimes(path, old, old))
}

func to(addresses string) string {
	return "From: shop@example.com\nTo: " + addresses + "\nSubject: x\nMessage-ID: <1@x>\n\nhello\n"
}

// spool returns a spool with a message in every place, and one that came after the daemon ended.
func spool(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "deferred", to("ok@x.org, later@y.org"))
	write(t, dir, "held", to("later@y.org"))
	write(t, dir, "refused", to("no@z.org, ok@x.org"))
	write(t, dir, "touched", to("later@y.org"))
	write(t, dir, "nobody", "From: shop@example.com\n\nhello\n")
	drain(t, dir)
	check(t, os.Rename(filepath.Join(dir, "held"), filepath.Join(dir, "hold", "held")))
	check(t, os.Chtimes(filepath.Join(dir, "touched"), time.Now(), time.Now()))
	write(t, dir, "fresh", "X-Spoolgore-Envelope: {\"from\":\"\",\"to\":[\"new@x.org\"]}\nSubject: x\n\nhello\n")
	write(t, dir, ".hidden", "no message")
	return dir
}

// rows returns the entries of Each by name, and the names in order.
func rows(t *testing.T, v *mailq.View, places []spooldir.Place) (byName map[string]*mailq.Entry, order []string) {
	t.Helper()
	byName = make(map[string]*mailq.Entry)
	check(t, v.Each(places, func(e *mailq.Entry) error {
		byName[e.Name] = e
		order = append(order, e.Name)
		return nil
	}))
	return byName, order
}

func view(t *testing.T, dir, status string) *mailq.View {
	t.Helper()
	v, err := mailq.Of(dir, status, time.Now())
	check(t, err)
	return v
}

func TestEach(t *testing.T) {
	is := is.New(t)
	dir := spool(t)
	v := view(t, dir, "")
	got, order := rows(t, v, everywhere)
	is.NoErr(v.Trouble)
	// messages with a record, without a record, failed
	is.Equal(order, []string{"deferred", "held", "nobody", "touched", "fresh", "refused"})

	e := got["deferred"]
	is.Equal(e.State, mailq.Deferred)
	is.Equal(e.From, "shop@example.com")
	is.Equal(e.Attempts, 1)
	is.True(strings.Contains(e.Reason, "450 4.2.1 later"))
	is.True(e.To[0].Accepted())
	is.Equal(e.To[1].History.First.TLS, "TLS 1.3")
	is.True(e.NextAttempt.Equal(e.To[1].NextAttempt)) // only the recipient that waits
	is.Equal(e.Size, int64(len(to("ok@x.org, later@y.org"))))

	is.Equal(got["held"].State, mailq.Held)
	is.Equal(got["held"].From, "shop@example.com") // the record has the name that the file had in the spool
	is.Equal(got["nobody"].State, mailq.Unusable)
	is.True(strings.Contains(got["nobody"].Reason, "no recipients"))
	is.Equal(got["touched"].State, mailq.New) // the file has changed: it is tried at once
	is.True(got["touched"].NextAttempt.IsZero())
	is.Equal(got["touched"].Attempts, 1)

	e = got["refused"]
	is.Equal(e.State, mailq.Failed)
	is.True(strings.Contains(e.Reason, "no@z.org") && strings.Contains(e.Reason, "550 5.1.1"))
	is.True(time.Since(e.GivenUp) < time.Hour)
	is.Equal(e.Since(), e.GivenUp)

	e = got["fresh"]
	is.Equal(e.State, mailq.New)
	is.Equal(len(e.To), 0) // no daemon has read the file
	v.ReadHeader(e)
	is.Equal(e.To[0].Address, "new@x.org") // from the envelope line
	is.Equal(e.State, mailq.New)
}

func TestEachOfSomePlaces(t *testing.T) {
	is := is.New(t)
	dir := spool(t)
	_, order := rows(t, view(t, dir, ""), []spooldir.Place{spooldir.Hold})
	is.Equal(order, []string{"held"})
	_, order = rows(t, view(t, dir, ""), []spooldir.Place{spooldir.Failed})
	is.Equal(order, []string{"refused"})
	check(t, os.RemoveAll(filepath.Join(dir, "hold")))
	_, order = rows(t, view(t, dir, ""), []spooldir.Place{spooldir.Hold}) // hold/ does not exist
	is.Equal(len(order), 0)
	v := view(t, filepath.Join(dir, "typo"), "")
	err := v.Each(everywhere, func(*mailq.Entry) error { return nil })
	is.True(errors.Is(err, fs.ErrNotExist)) // a missing spool is an error
}

func TestEachWithoutAStatus(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"gone":         os.Remove,
		"no JSON":      func(path string) error { return os.WriteFile(path, []byte(`{"/s/deferred": {"From": `), 0o600) },
		"another kind": func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			dir := spool(t)
			check(t, spoil(filepath.Join(dir, ".spoolgore.js")))
			v := view(t, dir, "")
			got, _ := rows(t, v, everywhere)
			is.Equal(v.Trouble == nil, name == "gone") // a damaged status file is reported
			is.Equal(len(got), 6)                      // the messages are listed anyway
			is.Equal(got["deferred"].State, mailq.New)
			v.ReadHeader(got["deferred"])
			is.Equal(got["deferred"].To[1].Address, "later@y.org") // from the message file
			v.ReadHeader(got["nobody"])
			is.Equal(got["nobody"].State, mailq.New)
			is.Equal(got["refused"].State, mailq.Failed)
		})
	}
}

func TestAStatusFileElsewhere(t *testing.T) {
	is := is.New(t)
	dir := spool(t)
	check(t, os.Rename(filepath.Join(dir, ".spoolgore.js"), filepath.Join(dir, "status")))
	got, order := rows(t, view(t, dir, filepath.Join(dir, "status")), everywhere)
	is.Equal(len(order), 6) // the status file is not listed as a message
	is.Equal(got["deferred"].State, mailq.Deferred)
}

func TestTwoMessagesOfOneName(t *testing.T) {
	is := is.New(t)
	dir := spool(t)
	write(t, dir, "hold/deferred", to("other@x.org"))
	v := view(t, dir, "")
	var places []spooldir.Place
	is.NoErr(v.Each(everywhere, func(e *mailq.Entry) error {
		if e.Name == "deferred" {
			places = append(places, e.Place)
			is.Equal(e.Known, e.Place == spooldir.Spool) // the status file is about the message in the spool
		}
		return nil
	}))
	is.Equal(places, []spooldir.Place{spooldir.Spool, spooldir.Hold})
}

func TestFind(t *testing.T) {
	is := is.New(t)
	dir := spool(t)
	v := view(t, dir, "")
	for name, place := range map[string]spooldir.Place{"deferred": spooldir.Spool, "held": spooldir.Hold, "refused": spooldir.Failed, "fresh": spooldir.Spool} {
		e, err := v.Find(place, name)
		is.NoErr(err)
		all, _ := rows(t, v, everywhere)
		e.Info, all[name].Info = nil, nil
		is.Equal(e, all[name]) // the same entry as Each returns
	}
	for _, name := range []string{"gone", "hold", ".hidden", "../x", ""} {
		_, err := v.Find(spooldir.Spool, name)
		is.True(errors.Is(err, fs.ErrNotExist))
	}
	_, err := v.Find(spooldir.Failed, "refused.json")
	is.True(errors.Is(err, fs.ErrNotExist)) // a why-file is no message
}

func TestStates(t *testing.T) {
	now := time.Now()
	for want, m := range map[mailq.State]spoolgore.Message{
		mailq.Waiting:   {To: []spoolgore.Recipient{{Address: "a@x.org", NextAttempt: now.Add(-time.Second), Error: "relay: dial: refused"}}},
		mailq.Sending:   {To: []spoolgore.Recipient{{Address: "a@x.org", Status: spoolgore.StateInProgress}}},
		mailq.Scheduled: {To: []spoolgore.Recipient{{Address: "a@x.org", NextAttempt: now.Add(time.Hour)}}, NotBefore: now.Add(time.Hour)},
		mailq.Deferred:  {To: []spoolgore.Recipient{{Address: "a@x.org", NextAttempt: now.Add(time.Hour), Attempts: 1}}, Attempts: 1},
		mailq.Unusable:  {Error: "permission denied", To: []spoolgore.Recipient{{Address: "a@x.org"}}},
	} {
		t.Run(string(want), func(t *testing.T) {
			is := is.New(t)
			dir := t.TempDir()
			write(t, dir, "m", to("a@x.org"))
			// a record of the 2014 tool: without size and time of the file
			text, err := json.Marshal(spoolgore.Status{filepath.Join(dir, "m"): m})
			is.NoErr(err)
			is.NoErr(os.WriteFile(filepath.Join(dir, ".spoolgore.js"), text, 0o600))
			got, _ := rows(t, view(t, dir, ""), everywhere)
			is.Equal(got["m"].State, want)
		})
	}
}

// TestEntryHasEveryFieldOfARecord fails for a new field of record.Message that is neither shown nor left out on purpose.
func TestEntryHasEveryFieldOfARecord(t *testing.T) {
	left := map[string]bool{ // identity of the file, and fields of files that are missing
		"Size": true, "Modified": true, "Digest": true, "Inode": true, "BodyDigest": true, "Missing": true,
	}
	shown := reflect.TypeFor[mailq.Entry]()
	for _, f := range reflect.VisibleFields(reflect.TypeFor[record.Message]()) {
		if _, ok := shown.FieldByName(f.Name); !ok && !left[f.Name] {
			t.Errorf("an Entry does not show %s", f.Name)
		}
	}
}

func TestRuns(t *testing.T) {
	at := func(minute int) time.Time { return time.Date(2026, 11, 23, 10, minute, 0, 0, time.UTC) }
	made := func(minute int, reply string) record.Attempt {
		return record.Attempt{Time: at(minute), Reply: reply}
	}
	once := func(minute int, reply string) record.AttemptRun {
		return record.AttemptRun{Attempt: made(minute, reply), Times: 1}
	}
	many := []record.AttemptRun{once(0, "a"), {Attempt: made(3, "b"), Until: at(5), Times: 3}}
	for name, tt := range map[string]struct {
		of      record.Recipient
		runs    []record.AttemptRun
		leftOut int
	}{
		"nothing is known": {record.Recipient{Attempts: 3}, nil, 0},
		"one":              {record.Recipient{History: &record.History{First: made(0, "a"), Last: made(0, "a")}}, []record.AttemptRun{once(0, "a")}, 0},
		"two":              {record.Recipient{Attempts: 2, History: &record.History{First: made(0, "a"), Last: made(5, "a")}}, []record.AttemptRun{{Attempt: made(0, "a"), Until: at(5), Times: 2}}, 0},
		"all alike": {record.Recipient{Attempts: 7, History: &record.History{First: made(0, "a"), Last: made(9, "a"), Times: 7}},
			[]record.AttemptRun{{Attempt: made(0, "a"), Until: at(9), Times: 7}}, 0},
		"runs":       {record.Recipient{Attempts: 9, History: &record.History{First: made(0, "a"), Last: made(5, "b"), Times: 4, Runs: many}}, many, 0},
		"some of it": {record.Recipient{History: &record.History{First: made(0, "a"), Last: made(5, "b"), Times: 40, Runs: many}}, many, 36},
		"by an older version": {record.Recipient{Attempts: 40, History: &record.History{First: made(0, "a"), Last: made(5, "a")}},
			[]record.AttemptRun{once(0, "a"), once(5, "a")}, 38},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			runs, leftOut := tt.of.AttemptRuns()
			is.Equal(runs, tt.runs)
			is.Equal(leftOut, tt.leftOut)
		})
	}
}

// The reason of a message is that of a waiting recipient, not of one that was given up.
func TestReasonOfTheWaitingRecipient(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	for name, to := range map[string]string{"first": "no@example.com, later@example.com", "last": "later@example.com, no@example.com"} {
		write(t, dir, name, "From: a@x.org\nTo: "+to+"\n\nx\n")
		old := time.Now().Add(-time.Hour)
		is.NoErr(os.Chtimes(filepath.Join(dir, name), old, old))
	}
	drain(t, dir)
	for _, name := range []string{"first", "last"} {
		e, err := view(t, dir, "").Find(spooldir.Spool, name)
		is.NoErr(err)
		is.Equal(e.State, mailq.Deferred)
		is.True(strings.Contains(e.Reason, "450 4.2.1"))
	}
}

func TestCountFailed(t *testing.T) {
	is := is.New(t)
	dir := spool(t)
	v := view(t, dir, "")
	f, err := v.CountFailed(time.Now().Add(-time.Hour))
	is.NoErr(err)
	is.Equal(f, mailq.FailedCount{All: 1, Recent: 1, Bytes: 82})
	report := `{"From":"","To":[{"Address":"ann@example.com","GivenUp":true}]}`
	for name, text := range map[string]string{"report": "x", "report.json": report, "torn": "x", "torn.json": "{"} {
		is.NoErr(os.WriteFile(filepath.Join(dir, "failed", name), []byte(text), 0o600))
	}
	f, err = v.CountFailed(time.Now().Add(-time.Hour))
	is.NoErr(err)
	is.Equal(f, mailq.FailedCount{All: 3, Recent: 3, Bytes: 84, Reports: 1, Report: "report"})
	long := time.Now().Add(-48 * time.Hour)
	for _, name := range []string{"refused", "report", "torn"} {
		is.NoErr(os.Chtimes(filepath.Join(dir, "failed", name+".json"), long, long))
	}
	f, err = v.CountFailed(time.Now().Add(-24 * time.Hour))
	is.NoErr(err)
	is.Equal(f, mailq.FailedCount{All: 3, Bytes: 84})
}

// Every message is shown once, in any number: with a record, without a record, and failed.
func TestEachOfMoreMessagesThanAreSorted(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	var status strings.Builder
	status.WriteString("{")
	const n = 10_500
	put := func(sub, name string) {
		is.NoErr(os.MkdirAll(filepath.Join(dir, sub), 0o700))
		is.NoErr(os.WriteFile(filepath.Join(dir, sub, name), []byte("To: a@example.com\n\n"), 0o600))
	}
	for i := range n {
		put("", fmt.Sprintf("new-%05d", i))
	}
	for i := range 100 {
		put("", fmt.Sprintf("known-%d", i))
		put("hold", fmt.Sprintf("held-%d", i))
		put("failed", fmt.Sprintf("given-%d", i))
		if i > 0 {
			status.WriteString(",")
		}
		fmt.Fprintf(&status, "\n%q: {\"To\":[]}", filepath.Join(dir, fmt.Sprintf("known-%d", i)))
		fmt.Fprintf(&status, ",\n%q: {\"To\":[]}", filepath.Join(dir, fmt.Sprintf("gone-%d", i)))
	}
	put("", "twice")
	put("hold", "twice")
	fmt.Fprintf(&status, ",\n%q: {\"From\":\"spool@x\",\"To\":[]}", filepath.Join(dir, "twice"))
	fmt.Fprintf(&status, ",\n%q: {\"From\":\"hold@x\",\"To\":[]}", filepath.Join(dir, "hold", "twice"))
	is.NoErr(os.WriteFile(filepath.Join(dir, ".spoolgore.js"), []byte(status.String()+"\n}\n"), 0o600))
	v, err := mailq.Of(dir, "", time.Now())
	is.NoErr(err)
	count := map[string]int{}
	is.NoErr(v.Each([]spooldir.Place{spooldir.Spool, spooldir.Hold, spooldir.Failed}, func(e *mailq.Entry) error {
		name, _, _ := strings.Cut(e.Name, "-")
		if e.Name == "twice" {
			name = "twice of " + e.From
		}
		count[fmt.Sprint(name, " ", e.Known)]++
		return nil
	}))
	is.NoErr(v.Trouble)
	is.Equal(count, map[string]int{
		"new false": n, "known true": 100, "held false": 100, "given false": 100,
		"twice of spool@x true": 1, "twice of hold@x true": 1,
	})
	for place, from := range map[spooldir.Place]string{spooldir.Spool: "spool@x", spooldir.Hold: "hold@x"} {
		e, err := v.Find(place, "twice")
		is.NoErr(err)
		is.Equal(e.From, from) // each of two messages with one name has its own record
	}
}

// A file without a recipient gets no other recipient: there is none in whose place the address could be.
func TestReaddressWithoutARecipient(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	write(t, dir, "m", "hello\n")
	drain(t, dir)
	view, err := mailq.Of(dir, "", time.Now())
	is.NoErr(err)
	err = view.Readdress(spooldir.Spool, "m", func(string) ([]string, error) { return []string{"ann@example.org"}, nil })
	is.Equal(err, mailq.ErrNoRecipient)
}
