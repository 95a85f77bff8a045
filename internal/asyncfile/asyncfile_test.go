package asyncfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// disk is a file system with one file. A write takes cost, and fails with err.
type disk struct {
	writes int
	text   string
	cost   time.Duration
	err    error
}

func (d *disk) replace(path string, perm fs.FileMode, write func(io.Writer) error) error {
	if d.err != nil {
		return d.err
	}
	var buf bytes.Buffer
	d.writes++
	err := write(slow{&buf, d.cost})
	d.text = buf.String()
	return err
}

// slow is a writer that sleeps before each write.
type slow struct {
	io.Writer
	cost time.Duration
}

func (s slow) Write(p []byte) (int, error) {
	time.Sleep(s.cost)
	return s.Writer.Write(p)
}

func say(text string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, text); return err }
}

// busy changes the content every 10 ms for d, and writes whenever Wait returns 0.
func busy(f *File, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		f.Touch(time.Now())
		if f.Wait(time.Now()) == 0 {
			f.Start(false, say("x"), func() {})
		}
		select {
		case w := <-f.Done():
			f.Finish(w, time.Now())
		default:
		}
	}
	if f.writing {
		f.Finish(<-f.Done(), time.Now())
	}
}

func TestWritingTakesATwentiethOfTheTimeAtMost(t *testing.T) {
	for _, cost := range []time.Duration{time.Millisecond, 130 * time.Millisecond, 2 * time.Second} {
		t.Run(cost.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				d := &disk{cost: cost}
				busy(New("f", d.replace), 10*time.Minute)
				is.True(d.writes > 0) // the file is written
				// it is not written for 19 times as long as a write takes
				is.True(time.Duration(d.writes)*cost <= 10*time.Minute/19)
				// a quick write is repeated several times a second
				is.True(cost > time.Millisecond || d.writes > 10*60*1000/250)
			})
		})
	}
}

func TestFailureAndRecoveryAreReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		d := &disk{err: errors.New("disk full")}
		f := New("f", d.replace)
		f.Touch(time.Now())
		write := func() (error, bool) {
			time.Sleep(f.Wait(time.Now()))
			f.Start(false, say("x"), func() {})
			w := <-f.Done()
			is.Equal(w.Err() == nil, d.err == nil)
			return f.Finish(w, time.Now())
		}
		err, _ := write()
		is.True(err != nil)             // the first failure is reported
		is.True(f.Wait(time.Now()) > 0) // the write is tried again, but not at once
		err, _ = write()
		is.NoErr(err) // the second failure is not reported
		d.err = nil
		err, recovered := write()
		is.NoErr(err)
		is.True(recovered)                              // the recovery is reported
		is.Equal(f.Wait(time.Now()), time.Duration(-1)) // no write is due
	})
}

func TestEmptyContentIsNotWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		d := &disk{}
		f := New("f", d.replace)
		is.NoErr(f.Sync(true, say("{}"))) // an empty file is written once, so that it exists
		f.Touch(time.Now())
		is.True(!f.Start(true, say("{}"), func() {})) // no write of an empty file is begun
		is.NoErr(f.Sync(true, say("{}")))
		is.Equal(d.writes, 1) // an empty file is not written again
		is.NoErr(f.Sync(false, say("x")))
		is.Equal(d.text, "x") // content is written
		is.NoErr(f.Sync(true, say("{}")))
		is.Equal(d.text, "{}") // and an empty file after content
	})
}

func TestSyncWaitsForTheWriteInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		d := &disk{cost: time.Minute}
		f := New("f", d.replace)
		is.True(f.Start(false, say("old"), func() {}))
		is.NoErr(f.Sync(false, say("new")))
		is.Equal(d.text, "new") // the later content stays
		is.Equal(d.writes, 2)
	})
}
