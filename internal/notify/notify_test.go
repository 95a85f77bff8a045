package notify

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/report"
	"github.com/unbit/spoolgore/internal/spooldir"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const text = "From: a@example.com\nTo: b@example.org\nSubject: hello\nMessage-ID: <1@example.com>\n\nhello\n"

// newDesk makes a spool, and a desk that reads News as they are.
func newDesk(t *testing.T) (*Desk, *spooldir.Dir) {
	t.Helper()
	dir, err := spooldir.New(t.TempDir())
	if err == nil {
		err = dir.Prepare()
	}
	if err != nil {
		t.Fatal(err)
	}
	return New(dir, "host.example.com", func(why []byte) (News, error) {
		var to []string
		err := json.Unmarshal(why, &to)
		return of(to...), err
	}), dir
}

// of are the news that some could not be served.
func of(to ...string) News {
	n := News{Report: report.Report{To: "a@example.com"}, Total: len(to)}
	for _, addr := range to {
		n.Recipients = append(n.Recipients, report.Recipient{Address: addr, Action: report.Failed})
	}
	return n
}

// put writes a message into the spool.
func put(t *testing.T, dir *spooldir.Dir, name string) spooldir.ID {
	t.Helper()
	if err := os.WriteFile(dir.File(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	id, err := dir.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// fail gives a message up, with why beside it.
func fail(t *testing.T, dir *spooldir.Dir, name, why string) {
	t.Helper()
	if _, err := dir.FailUntold(name, put(t, dir, name), []byte(why), false); err != nil {
		t.Fatal(err)
	}
}

// next has the desk make what is due.
func next(t *testing.T, d *Desk, now time.Time) (o Outcome, first, recovered bool) {
	t.Helper()
	if wait := d.Wait(now); wait != 0 {
		t.Fatal("nothing is due for", wait)
	}
	d.Start(now)
	if !d.Busy() || d.Wait(now) >= 0 {
		t.Fatal("the desk is not busy")
	}
	o = <-d.Done()
	first, recovered = d.Finish(o, now)
	return o, first, recovered
}

func TestOneReportAfterTheOther(t *testing.T) {
	is := is.New(t)
	d, dir := newDesk(t)
	is.True(d.Wait(noon) < 0) // nothing to do
	fail(t, dir, "one", `["b@example.org"]`)
	d.Owe("one", noon)
	d.Tell("two", put(t, dir, "two"), of("c@example.org"), noon)
	o, _, _ := next(t, d, noon)
	is.Equal(o.Name, "one") // first come, first served
	is.True(o.Failed)
	names, err := dir.Untold()
	is.NoErr(err)
	is.Equal(len(names), 0) // what is told is not told again after a crash
	o2, _, _ := next(t, d, noon)
	is.Equal(o2.Name, "two")
	is.True(d.Wait(noon) < 0)
	for _, name := range []string{o.Report, o2.Report} {
		got, err := os.ReadFile(dir.File(name))
		is.NoErr(err)
		is.True(strings.HasPrefix(string(got), `X-Spoolgore-Envelope: {"from":"","to":["a@example.com"]}`+"\nFrom: Mail Delivery System <MAILER-DAEMON@host.example.com>\r\n"))
	}
}

func TestAFullDiskIsTriedAgain(t *testing.T) {
	is := is.New(t)
	d, dir := newDesk(t)
	fail(t, dir, "one", `["b@example.org"]`)
	fail(t, dir, "two", `["b@example.org"]`)
	tmp := dir.File("tmp")
	is.NoErr(os.Remove(tmp))
	is.NoErr(os.WriteFile(tmp, nil, 0o600)) // nothing can be built
	d.Owe("one", noon)
	d.Owe("two", noon)
	o, first, _ := next(t, d, noon)
	is.True(o.Again && o.Err != nil && o.Report == "")
	is.True(first) // to be told
	is.Equal(d.Wait(noon), rest)
	o, first, _ = next(t, d, noon.Add(rest))
	is.Equal(o.Name, "two") // one does not hold up the other
	is.True(!first)         // that is known by now
	now := noon
	for range 20 {
		now = now.Add(d.Wait(now))
		o, _, _ = next(t, d, now)
		is.True(o.Again)
	}
	is.True(d.Wait(now) <= lastRetry)
	is.True(now.Sub(noon) > 40*time.Minute) // but ever more rarely
	names, err := dir.Untold()
	is.NoErr(err)
	is.Equal(len(names), 2) // all of it also survives the end of the process
	is.NoErr(os.Remove(tmp))
	now = now.Add(d.Wait(now))
	o, _, recovered := next(t, d, now)
	is.NoErr(o.Err)
	is.True(recovered)
	is.True(o.Report != "")
}

func TestNothingIsToldOfWhatIsGone(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, d *Desk, dir *spooldir.Dir){
		"moved back": func(t *testing.T, d *Desk, dir *spooldir.Dir) {
			fail(t, dir, "m", `["b@example.org"]`)
			d.Owe("m", noon)
			is.New(t).NoErr(os.Rename(dir.File("failed/m"), dir.File("m")))
		},
		"its reason removed": func(t *testing.T, d *Desk, dir *spooldir.Dir) {
			fail(t, dir, "m", `["b@example.org"]`)
			d.Owe("m", noon)
			is.New(t).NoErr(os.Remove(dir.File("failed/m.json")))
		},
		"gone to failed": func(t *testing.T, d *Desk, dir *spooldir.Dir) {
			d.Tell("m", put(t, dir, "m"), of("b@example.org"), noon)
			is.New(t).NoErr(os.Rename(dir.File("m"), dir.File("failed/m")))
		},
		"another version": func(t *testing.T, d *Desk, dir *spooldir.Dir) {
			id := put(t, dir, "m")
			id.Size++
			d.Tell("m", id, of("b@example.org"), noon)
		},
		"nobody to tell of": func(t *testing.T, d *Desk, dir *spooldir.Dir) {
			fail(t, dir, "m", `[]`)
			d.Owe("m", noon)
		},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			d, dir := newDesk(t)
			spoil(t, d, dir)
			o, first, _ := next(t, d, noon)
			is.NoErr(o.Err)
			is.True(!first && !o.Again)
			is.Equal(o.Report, "")
			is.True(d.Wait(noon) < 0) // and that is that
			names, err := dir.Untold()
			is.NoErr(err)
			is.Equal(len(names), 0)
			left, err := filepath.Glob(dir.File("*.eml"))
			is.NoErr(err)
			is.Equal(len(left), 0) // no report
		})
	}
}

func TestWhatCannotBeToldIsSaidOnce(t *testing.T) {
	is := is.New(t)
	d, dir := newDesk(t)
	fail(t, dir, "m", `no JSON`)
	d.Owe("m", noon)
	o, first, _ := next(t, d, noon)
	is.True(errors.Is(o.Err, errBroken))
	is.True(first)
	is.True(!o.Again) // it would come to the same
	news := of("b@example.org")
	news.To = "no address"
	d.Tell("n", put(t, dir, "n"), news, noon)
	o, first, _ = next(t, d, noon)
	is.True(errors.Is(o.Err, errBroken))
	is.True(first)
	is.True(o.News != nil) // it is done with
	is.True(d.Wait(noon) < 0)
}

func TestCloseWaitsForTheReportInTheMaking(t *testing.T) {
	is := is.New(t)
	d, dir := newDesk(t)
	d.Close() // nothing to wait for
	fail(t, dir, "m", `["b@example.org"]`)
	d.Owe("m", noon)
	d.Start(noon)
	d.Close()
	left, err := filepath.Glob(dir.File("*.eml"))
	is.NoErr(err)
	is.Equal(len(left), 1)
	is.True(!d.Busy())
}

func TestWanted(t *testing.T) {
	for _, row := range []struct {
		notify string
		want   string // actions
	}{
		{"", "failed delayed"},
		{"NEVER", ""},
		{"FAILURE", "failed"},
		{"DELAY", "delayed"},
		{"SUCCESS", "relayed"},
		{"SUCCESS,FAILURE,DELAY", "failed delayed relayed"},
	} {
		t.Run(row.notify, func(t *testing.T) {
			is := is.New(t)
			var got []string
			for _, a := range []report.Action{report.Failed, report.Delayed, report.Relayed} {
				if wanted(a, row.notify) {
					got = append(got, string(a))
				}
			}
			is.Equal(strings.Join(got, " "), row.want)
		})
	}
}
