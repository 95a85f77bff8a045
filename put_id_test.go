package spoolgore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/sentlog"
)

func putID(s *Spool, id string) (string, error) {
	env := Envelope{From: "a@example.com", To: []string{"b@example.org"}, ID: id}
	return s.Put(context.Background(), env, strings.NewReader(simple))
}

// The largest limit is a way to write "no limit".
func TestPutWithTheLargestLimit(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	s := New(dir, Options{MaxSize: math.MaxInt64})
	name, err := s.Put(t.Context(), Envelope{To: []string{"b@example.org"}}, strings.NewReader(simple))
	is.NoErr(err)
	text, err := os.ReadFile(filepath.Join(dir, name))
	is.NoErr(err)
	is.True(strings.HasSuffix(string(text), simple))
}

func TestPutErrors(t *testing.T) {
	is := is.New(t)
	s := New(t.TempDir(), Options{MaxSize: 1000})
	to := []string{"b@example.org"}
	put := func(env Envelope, text string) error {
		_, err := s.Put(t.Context(), env, strings.NewReader(text))
		return err
	}
	for name, tt := range map[string]struct {
		env   Envelope
		text  string
		want  []error
		index int // index of the AddressError plus 10; zero: no AddressError
	}{
		"no recipients":  {Envelope{From: "a@example.com"}, simple, []error{ErrEnvelope, ErrNoRecipients}, 0},
		"bad recipient":  {Envelope{To: []string{"b@example.org", "no address"}}, simple, []error{ErrEnvelope}, 11},
		"bad sender":     {Envelope{From: "<a@b>", To: to}, simple, []error{ErrEnvelope}, 9},
		"bad wish":       {Envelope{To: to, Ret: "ALL"}, simple, []error{ErrEnvelope}, 0},
		"bad ID":         {Envelope{To: to, ID: "a\nb"}, simple, []error{ErrEnvelope}, 0},
		"long ID":        {Envelope{To: to, ID: strings.Repeat("x", 201)}, simple, []error{ErrEnvelope}, 0},
		"too large":      {Envelope{To: to}, strings.Repeat("x", 1001), []error{ErrTooLarge}, 0},
		"huge envelope":  {Envelope{To: recipients(100_000)}, simple, []error{ErrEnvelope, ErrTooLarge}, 0},
		"reader's error": {Envelope{To: to}, "", []error{io.ErrUnexpectedEOF}, 0},
	} {
		var err error
		if name == "reader's error" {
			_, err = s.Put(t.Context(), tt.env, io.MultiReader(strings.NewReader("x"), failing{}))
		} else {
			err = put(tt.env, tt.text)
		}
		for _, want := range tt.want {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v is not %v", name, err, want)
			}
		}
		bad := new(AddressError)
		if found := errors.As(err, &bad); found != (tt.index != 0) || found && bad.Index != tt.index-10 {
			t.Errorf("%s: %v", name, err)
		}
	}
	is.NoErr(put(Envelope{To: to}, strings.Repeat("x", 1000))) // the size is exactly the limit
	left, err := os.ReadDir(filepath.Join(s.dir.Path(), "tmp"))
	is.NoErr(err)
	is.Equal(len(left), 0) // a Put with an error leaves no file
	_, err = New(filepath.Join(t.TempDir(), "gone"), Options{}).Put(t.Context(), Envelope{To: to}, strings.NewReader(simple))
	is.True(err != nil && !errors.Is(err, ErrEnvelope) && !errors.Is(err, ErrTooLarge)) // the error is not the caller's
}

func recipients(n int) []string {
	to := make([]string, n)
	for i := range to {
		to[i] = fmt.Sprintf("recipient%d@example.org", i)
	}
	return to
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestPutWithAnID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"order-17", "../../etc", "Ω", ".hidden", "a/b", strings.Repeat("x", 200), "x.tmp", "#x#"} {
		is := is.New(t)
		dir := t.TempDir()
		name, err := putID(New(dir, Options{}), id)
		is.NoErr(err)
		again, err := putID(New(dir, Options{}), id) // another process
		is.True(errors.Is(err, ErrDuplicate))
		is.Equal(again, name) // the name of the existing file
		other, err := putID(New(dir, Options{}), "another")
		is.NoErr(err)
		is.True(other != name)
		for _, place := range []string{"hold", "failed"} {
			is.NoErr(os.MkdirAll(filepath.Join(dir, place), 0o700))
			is.NoErr(os.Rename(filepath.Join(dir, name), filepath.Join(dir, place, name)))
			again, err = putID(New(dir, Options{}), id)
			is.True(errors.Is(err, ErrDuplicate)) // the message is in hold/ or failed/, and can be sent again
			is.Equal(again, name)
			is.True(!exists(dir, name))
			is.NoErr(os.Rename(filepath.Join(dir, place, name), filepath.Join(dir, name)))
		}
	}
}

// Several goroutines put the same ID at the same time. One Put succeeds, and the others get the name of the file.
func TestPutOfOneIDAtTheSameTime(t *testing.T) {
	is := is.New(t)
	s := New(t.TempDir(), Options{})
	var wg sync.WaitGroup
	names, errs := make([]string, 50), make([]error, 50)
	for i := range names {
		wg.Go(func() { names[i], errs[i] = putID(s, "one") })
	}
	wg.Wait()
	won := 0
	for i, err := range errs {
		if err == nil {
			won++
		} else {
			is.True(errors.Is(err, ErrDuplicate))
		}
		is.Equal(names[i], names[0])
	}
	is.Equal(won, 1)
}

// Each event, the log and the status have the ID, from the first event on, also after a restart.
func TestEventsHaveTheID(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, events, log := t.TempDir(), &events{}, &lines{}
		accept := false
		opts := exact(Options{
			OnEvent: events.add, Trace: 10, Logger: slog.New(slog.NewTextHandler(log, nil)),
			Transport: TransportFunc(func(_ context.Context, tx *Transaction) []Result {
				is.Equal(tx.ID, "order 17")
				if accept {
					return make([]Result, len(tx.To))
				}
				return []Result{{Err: errors.New("later")}}
			}),
		})
		s, stop := start(t, dir, opts)
		name, err := putID(s, "order 17")
		is.NoErr(err)
		pass(time.Second)
		is.Equal(one(t, s.Status()).ID, "order 17")
		stop()
		is.Equal(one(t, s.Status()).ID, "order 17") // in the status file
		accept = true
		_, stop = start(t, dir, opts)
		pass(time.Hour)
		stop()
		is.Equal(events.kinds("b@example.org"), "queued deferred sent")
		for _, ev := range events.all {
			is.Equal(ev.ID, "order 17")
			is.Equal(ev.File, name)
			is.Equal(ev.MessageID, "<1@example.com>")
			is.True(ev.Size > 0)
		}
		is.True(events.last().Age >= time.Minute)
		is.Equal(events.last().Age, events.last().Time.Sub(events.last().Since))
		is.Equal(strings.Count(log.String(), `id="order 17"`), 3) // queued, deferred and delivered
		var outcomes []string
		is.NoErr(sentlog.Read(dir, func(e *sentlog.Entry) error {
			outcomes = append(outcomes, e.Outcome+" "+e.MessageID)
			return nil
		}))
		is.Equal(outcomes, []string{"sent <1@example.com>"}) // Message-ID, and not the ID
	})
}

func TestPutMany(t *testing.T) {
	is := is.New(t)
	s := New(t.TempDir(), Options{})
	mails := make([]Mail, 100)
	for i := range mails {
		mails[i] = Mail{Envelope{To: []string{"b@example.org"}}, strings.NewReader(simple)}
	}
	mails[50].To = nil
	mails[60].Content = failing{}
	mails[70].ID, mails[71].ID = "same", "same"
	for i, r := range s.PutMany(t.Context(), mails) {
		switch i {
		case 50:
			is.True(errors.Is(r.Err, ErrNoRecipients))
		case 60:
			is.True(errors.Is(r.Err, io.ErrUnexpectedEOF))
		case 71:
			is.True(errors.Is(r.Err, ErrDuplicate))
		default:
			is.NoErr(r.Err)
			is.True(exists(s.dir.Path(), r.Name))
		}
	}
	is.Equal(len(s.PutMany(t.Context(), nil)), 0)
}

// Memory of a Put in addition to the message, which a stream does not hold in memory.
func TestMemoryOfPut(t *testing.T) {
	if poolsLeak {
		t.Skip("with the race detector memory counts differently")
	}
	is := is.New(t)
	s := New(t.TempDir(), Options{})
	text := strings.Repeat(simple, 1000)
	put := func(text string) {
		_, err := s.Put(t.Context(), Envelope{From: "a@example.com", To: []string{"b@example.org"}}, struct{ io.Reader }{strings.NewReader(text)})
		is.NoErr(err)
	}
	for _, text := range []string{simple, text} {
		put(text) // fills the pools
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range 200 {
			put(text)
		}
		runtime.ReadMemStats(&after)
		is.True((after.TotalAlloc-before.TotalAlloc)/200 <= 8<<10) // bytes of a Put
	}
}

// The run ends in the moment after an acceptance, and the disk is slow. A Put with the ID of the message is refused all
// the time, also before .spoolgore.sent has the acceptance.
func TestPutWithAnIDAtTheEndOfARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		ctx, cancel := context.WithCancel(t.Context())
		accept := TransportFunc(func(_ context.Context, tx *Transaction) []Result {
			cancel()
			return make([]Result, len(tx.To))
		})
		disk := func(op, path string) error {
			if op == "create" && strings.HasSuffix(path, ".spoolgore.sent") {
				time.Sleep(time.Second)
			}
			return nil
		}
		s := New(dir, exact(Options{Transport: accept, FailDisk: disk, Trace: 10, Watch: WatchOff}))
		_, err := putID(s, "1")
		is.NoErr(err)
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		<-ctx.Done()
		for range 15 {
			pass(100 * time.Millisecond)
			_, err = putID(s, "1")
			is.True(errors.Is(err, ErrDuplicate))
		}
		is.NoErr(<-ended)
	})
}
