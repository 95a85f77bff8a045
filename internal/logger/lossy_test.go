package logger

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// stalled is a writer that blocks until release is closed.
type stalled struct {
	release chan struct{}
	text    bytes.Buffer
	writes  int
	longest int // length of the longest write
}

func (s *stalled) Write(p []byte) (int, error) {
	<-s.release
	s.writes, s.longest = s.writes+1, max(s.longest, len(p))
	return s.text.Write(p)
}

// While the reader of the log does not read, a limited number of lines waits. Further lines are dropped and counted.
func TestLinesAreDroppedWhileTheReaderStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		w := &stalled{release: make(chan struct{})}
		l := newLossy(w, New(w, nil, false))
		const all = 2 * maxQueued / 100
		for i := range all {
			n, err := fmt.Fprintf(l, "%099d\n", i) // returns at once
			is.NoErr(err)
			is.Equal(n, 100)
		}
		began := time.Now()
		l.flush(time.Second)
		is.Equal(time.Since(began), time.Second) // the end of the process waits for a limited time
		close(w.release)
		l.flush(time.Minute)
		text := w.text.String()
		dropped, notes := 0, regexp.MustCompile(`(?m)lines=(\d+)$`).FindAllStringSubmatch(text, -1)
		for _, note := range notes { // there are two if the writer began after lines had been dropped
			n, err := strconv.Atoi(note[1])
			is.NoErr(err)
			dropped += n
		}
		written := strings.Count(text, "\n") - len(notes)
		is.Equal(written, maxQueued/100)
		is.Equal(dropped, all-written)
		fmt.Fprintln(l, "again")
		l.flush(time.Minute)
		is.True(strings.HasSuffix(w.text.String(), "\nagain\n"))
	})
}

// Lines that wait for the reader are written together.
func TestWaitingLinesAreWrittenTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		w := &stalled{release: make(chan struct{})}
		l := newLossy(w, New(w, nil, false))
		var want strings.Builder
		for i := range 100 {
			fmt.Fprintf(l, "%099d\n", i)
			fmt.Fprintf(&want, "%099d\n", i)
			synctest.Wait() // the first line is being written
		}
		long := strings.Repeat("x", 2*maxJoined) + "\n"
		fmt.Fprint(l, long, "end\n") // the long line counts as one line
		fmt.Fprintln(l, "last")
		close(w.release)
		l.flush(time.Minute)
		is.Equal(w.text.String(), want.String()+long+"end\nlast\n")
		is.Equal(w.writes, 1+3+1+1) // the first line, 99 lines, the long one, the last one
		is.True(w.longest == len(long)+len("end\n"))
	})
}

// If the reader of a pipe has gone, the lines are lost and the process goes on.
func TestReaderGone(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	r, w, err := os.Pipe()
	is.NoErr(err)
	defer w.Close()
	log, flush := NewLossy(w, nil, false)
	log.Info("first")
	flush()
	text := make([]byte, 100)
	n, err := r.Read(text)
	is.NoErr(err)
	is.True(strings.Contains(string(text[:n]), "msg=first"))
	is.NoErr(r.Close())
	log.Info("second")
	flush()
}

// Lines for a file, or for another writer, are written before the call returns.
func TestRegularFileIsWrittenAtOnce(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f, err := os.CreateTemp(t.TempDir(), "log")
	is.NoErr(err)
	defer f.Close()
	var buffer bytes.Buffer
	for _, w := range []io.Writer{f, &buffer} {
		log, _ := NewLossy(w, nil, false)
		log.Info("line")
	}
	text, err := os.ReadFile(f.Name())
	is.NoErr(err)
	is.True(strings.Contains(string(text), "msg=line"))
	is.True(strings.Contains(buffer.String(), "msg=line"))
}
