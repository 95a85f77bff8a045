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

// disk is a file system of one file that takes its time and can be full.
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

// slow takes its time.
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

// busy changes the file's subject every 10 ms for d, and writes whenever File says so.
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
				is.True(d.writes > 0)                                         // it is written
				is.True(time.Duration(d.writes)*cost <= 10*time.Minute/19)    // and rests 19 times as long as it writes
				is.True(cost > time.Millisecond || d.writes > 10*60*1000/250) // a cheap one is written several times a second
			})
		})
	}
}

func TestAFailureIsToldOnceAndSoIsRecovery(t *testing.T) {
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
		is.True(err != nil)             // the first failure is told
		is.True(f.Wait(time.Now()) > 0) // it is tried again, not at once
		err, _ = write()
		is.NoErr(err) // the second one is no news
		d.err = nil
		err, recovered := write()
		is.NoErr(err)
		is.True(recovered)                              // that it works again is
		is.Equal(f.Wait(time.Now()), time.Duration(-1)) // nothing is left to write
	})
}

func TestEmptyContentIsNotWrittenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		d := &disk{}
		f := New("f", d.replace)
		is.NoErr(f.Sync(true, say("{}"))) // an empty file is written once, so that it is there
		f.Touch(time.Now())
		is.True(!f.Start(true, say("{}"), func() {})) // nothing is begun
		is.NoErr(f.Sync(true, say("{}")))
		is.Equal(d.writes, 1) // and not again while it stays empty
		is.NoErr(f.Sync(false, say("x")))
		is.Equal(d.text, "x") // but when there is something to say
		is.NoErr(f.Sync(true, say("{}")))
		is.Equal(d.text, "{}") // and when there no longer is
	})
}

func TestSyncWaitsForTheWriteInTheBackground(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		d := &disk{cost: time.Minute}
		f := New("f", d.replace)
		is.True(f.Start(false, say("old"), func() {}))
		is.NoErr(f.Sync(false, say("new")))
		is.Equal(d.text, "new") // the later text is the one that stays
		is.Equal(d.writes, 2)
	})
}
