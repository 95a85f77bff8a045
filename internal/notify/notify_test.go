package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/dsn"
	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const text = "From: a@example.com\nTo: b@example.org\nSubject: hello\nMessage-ID: <1@example.com>\n\nhello\n"

// disk is the file system of the tests. It counts syncs. Files whose name contains broken cannot be opened.
type disk struct {
	fsys.FS
	syncs  atomic.Int32
	broken atomic.Value // string
}

type file struct {
	fsys.File
	disk *disk
}

func (d *disk) OpenFile(path string, flag int, perm fs.FileMode) (fsys.File, error) {
	if broken, _ := d.broken.Load().(string); broken != "" && filepath.Base(path) == broken {
		return nil, &fs.PathError{Op: "open", Path: path, Err: syscall.EIO}
	}
	f, err := d.FS.OpenFile(path, flag, perm)
	if err != nil {
		return nil, err
	}
	return &file{f, d}, nil
}

func (d *disk) SyncDir(path string) error {
	d.syncs.Add(1)
	return d.FS.SyncDir(path)
}

func (d *disk) SyncAll(path string) error {
	d.syncs.Add(1)
	return d.FS.SyncAll(path)
}

func (f *file) Sync() error {
	f.disk.syncs.Add(1)
	return f.File.Sync()
}

// newNotifier makes a spool, its file system and its Notifier.
func newNotifier(t *testing.T) (*Notifier, *spooldir.Dir, *disk) {
	t.Helper()
	on := &disk{FS: fsys.System()}
	dir, err := spooldir.NewOn(t.TempDir(), on)
	if err == nil {
		_, err = dir.Prepare()
	}
	check(t, err)
	return New(dir, "host.example.com"), dir, on
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// noticeOf returns a notice about recipients that were given up.
func noticeOf(to ...string) record.Notice {
	n := record.Notice{Report: dsn.Report{To: "a@example.com"}, Total: len(to)}
	for _, addr := range to {
		n.Recipients = append(n.Recipients, dsn.Recipient{Address: addr, Action: dsn.Failed})
	}
	return n
}

// whyOf returns a why-file about recipients that were given up.
func whyOf(t *testing.T, to ...string) string {
	t.Helper()
	f := &record.Failure{Message: record.Message{From: "a@example.com"}}
	for _, addr := range to {
		f.To = append(f.To, record.Recipient{Address: addr, Status: record.Done, GivenUp: true})
	}
	why, err := json.Marshal(f)
	check(t, err)
	return string(why)
}

// put writes a message into the spool.
func put(t *testing.T, dir *spooldir.Dir, name string) spooldir.ID {
	t.Helper()
	check(t, os.WriteFile(dir.File(name), []byte(text), 0o600))
	id, err := dir.Stat(name)
	check(t, err)
	return id
}

// fail writes a message to failed/, with its why-file and the mark of a report that is not made yet.
func fail(t *testing.T, dir *spooldir.Dir, name, why string) {
	t.Helper()
	for path, content := range map[string]string{name: text, name + ".json": why, ".untold-" + name: ""} {
		check(t, os.WriteFile(filepath.Join(dir.Path(), "failed", path), []byte(content), 0o600))
	}
}

// finished is an outcome with the results of Finish.
type finished struct {
	Outcome
	first, recovered bool
}

// next lets the Notifier make the batch that is due, and finishes each report.
func next(t *testing.T, d *Notifier, now time.Time) (all []finished) {
	t.Helper()
	if wait := d.Wait(now); wait != 0 {
		t.Fatal("no report is due for", wait)
	}
	notified := make(chan bool, 1)
	d.Start(now, func() { notified <- true })
	if !d.Busy() || d.Wait(now) >= 0 {
		t.Fatal("the notifier is not busy")
	}
	<-notified
	outcomes := <-d.Done() // available before notify is called
	d.Finished()
	if d.Busy() {
		t.Fatal("the notifier is busy")
	}
	for _, o := range outcomes {
		first, recovered := d.Finish(o, now)
		all = append(all, finished{o, first, recovered})
	}
	return all
}

// one is next for a batch with one report.
func one(t *testing.T, d *Notifier, now time.Time) finished {
	t.Helper()
	all := next(t, d, now)
	if len(all) != 1 {
		t.Fatalf("%d reports, want 1", len(all))
	}
	return all[0]
}

// untold returns the number of messages whose reports are not made yet.
func untold(t *testing.T, dir *spooldir.Dir) int {
	t.Helper()
	names, err := dir.Failed().ReportsOwed()
	check(t, err)
	return len(names)
}

// reports returns the number of reports in the spool.
func reports(t *testing.T, dir *spooldir.Dir) int {
	t.Helper()
	files, err := filepath.Glob(dir.File("*.eml"))
	check(t, err)
	return len(files)
}

func TestReportsAreMadeInOneBatch(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	d, dir, _ := newNotifier(t)
	is.True(d.Wait(noon) < 0) // no report is due
	fail(t, dir, "one", whyOf(t, "b@example.org"))
	d.Owe("one", noon)
	d.Owe("one", noon) // the second request is the same as the first
	d.Notify("two", put(t, dir, "two"), noticeOf("c@example.org"), "tag", noon)
	d.Notify("later", put(t, dir, "later"), noticeOf("c@example.org"), nil, noon.Add(time.Hour))
	all := next(t, d, noon)
	is.Equal(len(all), 2)
	is.Equal(all[0].Name, "one") // in the order of the requests
	is.True(all[0].Failed)
	is.Equal(all[0].Tag, nil)
	is.Equal(all[0].Notice.Kept, "failed/one")
	is.Equal(all[1].Name, "two")
	is.True(!all[1].Failed)
	is.Equal(all[1].Tag, "tag")
	is.Equal(all[1].Notice.Recipients[0].Address, "c@example.org")
	is.Equal(untold(t, dir), 0) // a restart makes no second report
	is.Equal(d.Wait(noon), time.Hour)
	for i, addr := range []string{"b@example.org", "c@example.org"} {
		is.NoErr(all[i].Err)
		got, err := os.ReadFile(dir.File(all[i].Report))
		is.NoErr(err)
		is.True(strings.HasPrefix(string(got), `X-Spoolgore-Envelope: {"from":"","to":["a@example.com"]}`+
			"\nFrom: Mail Delivery System <MAILER-DAEMON@host.example.com>\r\n"))
		is.True(strings.Contains(string(got), "Final-Recipient: rfc822; "+addr+"\r\n"))
	}
}

// The number of syncs of a batch does not depend on the number of reports.
func TestBatchTakesFewSyncs(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	d, dir, on := newNotifier(t)
	for i := range 50 {
		name := fmt.Sprintf("m%02d", i)
		fail(t, dir, name, whyOf(t, "b@example.org"))
		d.Owe(name, noon)
	}
	on.syncs.Store(0)
	all := next(t, d, noon)
	is.Equal(len(all), 50)
	for _, o := range all {
		is.NoErr(o.Err)
	}
	is.Equal(reports(t, dir), 50)
	is.Equal(untold(t, dir), 0)
	most := int32(3)
	if errors.Is(fsys.System().SyncAll(dir.Path()), errors.ErrUnsupported) {
		most += 50 // one for each file
	}
	if n := on.syncs.Load(); n < 1 || n > most {
		t.Errorf("%d syncs for a batch of 50 reports, want 1 to %d", n, most)
	}
}

func TestBatchIsLimited(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	d, dir, _ := newNotifier(t)
	for i := range maxBatch + 3 {
		name := fmt.Sprintf("m%02d", i)
		fail(t, dir, name, whyOf(t, "b@example.org"))
		d.Owe(name, noon)
	}
	is.Equal(len(next(t, d, noon)), maxBatch)
	is.Equal(len(next(t, d, noon)), 3) // at once
	is.Equal(reports(t, dir), maxBatch+3)
}

// A bad message of a batch has its own outcome, and the reports about the others are made.
func TestBadMessageDoesNotHoldUpItsBatch(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		spoil  func(t *testing.T, dir *spooldir.Dir, on *disk)
		again  bool
		err    error
		untold int
	}{
		"unreadable now": {func(_ *testing.T, _ *spooldir.Dir, on *disk) { on.broken.Store("m2") }, true, syscall.EIO, 1},
		"why-file unreadable now": {
			func(_ *testing.T, _ *spooldir.Dir, on *disk) { on.broken.Store("m2.json") }, true, syscall.EIO, 1,
		},
		"why-file broken": {func(t *testing.T, dir *spooldir.Dir, _ *disk) {
			check(t, os.WriteFile(dir.File("failed/m2.json"), []byte("no JSON"), 0o600))
		}, false, errBroken, 0},
		"not a regular file": {func(t *testing.T, dir *spooldir.Dir, _ *disk) {
			check(t, os.Remove(dir.File("failed/m2")))
			check(t, os.Mkdir(dir.File("failed/m2"), 0o700))
		}, false, spooldir.ErrNotRegular, 0},
		"removed": {func(t *testing.T, dir *spooldir.Dir, _ *disk) {
			check(t, os.Remove(dir.File("failed/m2")))
		}, false, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			d, dir, on := newNotifier(t)
			for _, name := range []string{"m1", "m2", "m3"} {
				fail(t, dir, name, whyOf(t, "b@example.org"))
				d.Owe(name, noon)
			}
			row.spoil(t, dir, on)
			all := next(t, d, noon)
			is.Equal(len(all), 3)
			is.True(all[0].Report != "" && all[0].Err == nil)
			is.True(all[2].Report != "" && all[2].Err == nil)
			bad := all[1]
			is.Equal(bad.Name, "m2")
			is.Equal(bad.Report, "")
			is.True(errors.Is(bad.Err, row.err))
			is.Equal(bad.Again, row.again)
			is.Equal(bad.first, row.err != nil)
			is.Equal(all[2].recovered, row.again) // the disk works: only m2 is bad
			is.Equal(untold(t, dir), row.untold)
			if !row.again {
				is.True(d.Wait(noon) < 0) // no further attempt
				return
			}
			is.Equal(d.Wait(noon), firstRetry) // m2 is tried again
			on.broken.Store("")
			o := one(t, d, noon.Add(firstRetry))
			is.Equal(o.Name, "m2")
			is.NoErr(o.Err)
			is.True(o.Report != "")
			is.Equal(untold(t, dir), 0)
		})
	}
}

func TestFullDiskIsRetried(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	d, dir, _ := newNotifier(t)
	fail(t, dir, "one", whyOf(t, "b@example.org"))
	fail(t, dir, "two", whyOf(t, "b@example.org"))
	tmp := dir.File("tmp")
	is.NoErr(os.Remove(tmp))
	is.NoErr(os.WriteFile(tmp, nil, 0o600)) // no report can be written
	d.Owe("one", noon)
	all := next(t, d, noon)
	is.Equal(len(all), 1)
	is.True(all[0].Again && all[0].Err != nil && all[0].Report == "")
	is.True(all[0].first) // the first failure of a series
	d.Owe("one", noon)    // is still owed
	d.Owe("two", noon)
	is.Equal(d.Wait(noon), pause) // for all messages
	o := one(t, d, noon.Add(pause))
	is.Equal(o.Name, "two")
	is.True(o.Again && !o.first)
	now, tries := noon.Add(pause), 0
	for ; now.Before(noon.Add(2 * time.Hour)); tries++ {
		wait := d.Wait(now)
		is.True(wait <= lastRetry)
		now = now.Add(wait)
		for _, o := range next(t, d, now) {
			is.True(o.Again && !o.first && !o.recovered)
		}
	}
	is.True(tries < 60)         // the pause doubles after each attempt: with firstRetry there would be 720 or more
	is.Equal(untold(t, dir), 2) // a restart makes the reports
	is.NoErr(os.Remove(tmp))
	recovered := 0
	for d.Wait(now) >= 0 {
		now = now.Add(d.Wait(now))
		for _, o := range next(t, d, now) {
			is.NoErr(o.Err)
			is.True(o.Report != "")
			if o.recovered {
				recovered++
			}
		}
	}
	is.Equal(recovered, 1)
	is.Equal(reports(t, dir), 2)
	is.Equal(untold(t, dir), 0)
}

func TestNoReportOnMissingMessage(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, d *Notifier, dir *spooldir.Dir){
		"moved back": func(t *testing.T, d *Notifier, dir *spooldir.Dir) {
			fail(t, dir, "m", whyOf(t, "b@example.org"))
			d.Owe("m", noon)
			check(t, os.Rename(dir.File("failed/m"), dir.File("m")))
		},
		"why-file removed": func(t *testing.T, d *Notifier, dir *spooldir.Dir) {
			fail(t, dir, "m", whyOf(t, "b@example.org"))
			d.Owe("m", noon)
			check(t, os.Remove(dir.File("failed/m.json")))
		},
		"moved to failed": func(t *testing.T, d *Notifier, dir *spooldir.Dir) {
			d.Notify("m", put(t, dir, "m"), noticeOf("b@example.org"), nil, noon)
			check(t, os.Rename(dir.File("m"), dir.File("failed/m")))
		},
		"another version": func(t *testing.T, d *Notifier, dir *spooldir.Dir) {
			id := put(t, dir, "m")
			id.Size++
			d.Notify("m", id, noticeOf("b@example.org"), nil, noon)
		},
		"no recipients": func(t *testing.T, d *Notifier, dir *spooldir.Dir) {
			fail(t, dir, "m", whyOf(t))
			d.Owe("m", noon)
		},
		"null sender": func(t *testing.T, d *Notifier, dir *spooldir.Dir) {
			n := noticeOf("b@example.org")
			n.To = ""
			d.Notify("m", put(t, dir, "m"), n, nil, noon)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			d, dir, _ := newNotifier(t)
			spoil(t, d, dir)
			o := one(t, d, noon)
			is.NoErr(o.Err)
			is.True(!o.first && !o.Again)
			is.Equal(o.Report, "")
			is.True(d.Wait(noon) < 0)
			is.Equal(untold(t, dir), 0)
			is.Equal(reports(t, dir), 0)
		})
	}
}

// While the spool directory is missing, no message in it counts as missing.
func TestReportIsRetriedWhileSpoolIsAway(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	on := &disk{FS: fsys.System()}
	path := filepath.Join(t.TempDir(), "spool")
	is.NoErr(os.Mkdir(path, 0o700))
	dir, err := spooldir.NewOn(path, on)
	is.NoErr(err)
	_, err = dir.Prepare()
	is.NoErr(err)
	d := New(dir, "host.example.com")
	fail(t, dir, "m", whyOf(t, "b@example.org"))
	d.Owe("m", noon)
	is.NoErr(os.Rename(path, path+".away"))
	is.True(one(t, d, noon).Again)
	is.NoErr(os.Rename(path+".away", path))
	is.Equal(untold(t, dir), 1)
	is.True(one(t, d, noon.Add(firstRetry)).Report != "")
}

func TestHopelessReportIsNotRetried(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	d, dir, _ := newNotifier(t)
	n := noticeOf("b@example.org")
	n.To = "no address"
	d.Notify("m", put(t, dir, "m"), n, "tag", noon)
	o := one(t, d, noon)
	is.True(errors.Is(o.Err, errBroken))
	is.True(o.first && !o.Again)
	is.Equal(o.Tag, "tag")
	is.True(o.Notice != nil) // the caller records it as reported
	is.True(d.Wait(noon) < 0)
}

// A message in the spool whose report can be made later is not recorded as reported.
func TestRetriedReportHasNoNotice(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	d, dir, on := newNotifier(t)
	d.Notify("m", put(t, dir, "m"), noticeOf("b@example.org"), "tag", noon)
	on.broken.Store("m")
	o := one(t, d, noon)
	is.True(o.Again)
	is.Equal(o.Notice, nil)
	on.broken.Store("")
	o = one(t, d, noon.Add(firstRetry))
	is.True(o.Report != "")
	is.Equal(o.Tag, "tag")
	is.Equal(o.Notice.To, "a@example.com")
}

func TestWanted(t *testing.T) {
	t.Parallel()
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
			for _, a := range []dsn.Action{dsn.Failed, dsn.Delayed, dsn.Relayed} {
				if wanted(a, row.notify) {
					got = append(got, string(a))
				}
			}
			is.Equal(strings.Join(got, " "), row.want)
		})
	}
}
