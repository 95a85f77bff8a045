package queue

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
)

// opens advances and returns the act Open. There must be one.
func (f *fixture) opens(by time.Duration) Act {
	f.t.Helper()
	f.advance(by)
	if f.take() != "Open" {
		f.t.Fatal("no act Open")
	}
	return f.act
}

func TestHowFileCame(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ways []How
		want How
	}{
		"renamed":                       {[]How{Renamed}, Renamed},
		"renamed, then closed":          {[]How{Renamed, Noticed}, Renamed},
		"renamed, then appended to":     {[]How{Renamed, Written, Noticed}, Written},
		"linked":                        {[]How{Created, Noticed}, Created},
		"written in place":              {[]How{Created, Written, Noticed}, Written},
		"written in place and replaced": {[]How{Created, Written, Renamed}, Renamed},
		"noticed":                       {[]How{Noticed}, Noticed},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			for _, how := range tt.ways {
				f.q.Arrived("m", how, f.now)
			}
			is.New(t).Equal(f.opens(0).How, tt.want)
		})
	}
}

// Notices are missing after a file was created: it may have been written to since. That stays so.
func TestCreatedFileAndMissedNotices(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(f *fixture){
		"before it is opened": func(f *fixture) {
			f.q.Arrived("m", Created, f.now)
			f.q.MissedNotices(f.now)
		},
		"before the second look": func(f *fixture) {
			f.q.Arrived("m", Created, f.now)
			f.q.MissedNotices(f.now)
			is.New(f.t).Equal(f.opens(time.Millisecond).How, Noticed)
			v := Version{1, 10, f.now.UnixNano()}
			f.answer(Result{Trouble: Unsettled, Err: errWritten, Version: v})
		},
		"while it is opened": func(f *fixture) {
			f.q.Arrived("m", Created, f.now)
			is.New(f.t).Equal(f.opens(0).How, Created)
			f.q.MissedNotices(f.now)
			v := Version{1, 10, f.now.UnixNano()}
			f.answer(Result{Version: v, Head: headOf(v)})
			is.New(f.t).Equal(f.effects(), "unread 2s")
		},
		"while the message before is removed": func(f *fixture) {
			*f = *in(f.t, "removing")
			f.q.Arrived("m", Created, f.now)
			f.q.MissedNotices(f.now)
			f.advance(time.Millisecond)
			f.answer(Result{})
			f.take()
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			act(f)
			is.New(t).Equal(f.opens(2*time.Second).How, Noticed)
		})
	}
}

// A file that is written to while it is opened waits until it has settled, even if it can be read.
func TestFileWrittenToWhileItIsOpenedSettles(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	f.q.Arrived("m", Created, f.now)
	f.opens(0)
	f.q.Arrived("m", Written, f.now)
	f.answer(Result{Version: thisVersion, Head: headOf(thisVersion)})
	is.Equal(f.effects(), "unread now") // looked at again, for the new version
	is.True(!f.q.Idle(f.now))           // a drain waits for the file
	is.Equal(f.opens(0).How, Written)
	unsettled := Result{Trouble: Unsettled, Err: errWritten}
	unsettled.Version = Version{1, 10, f.now.UnixNano()}
	f.answer(unsettled)
	is.Equal(f.effects(), "unread 2s")
	f.opens(2 * time.Second)
	f.answer(Result{Version: unsettled.Version, Head: headOf(unsettled.Version)})
	is.Equal(f.effects(), "ready |  | queued a, queued b")
}

// A change of the file starts the settle time again.
func TestChangeStartsSettlingAnew(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	for range 5 {
		f.q.Arrived("m", Written, f.now)
		f.opens(0)
		f.answer(Result{Trouble: Unsettled, Err: errWritten, Version: Version{1, 10, f.now.UnixNano()}})
		is.Equal(f.effects(), "unread 2s")
		f.advance(1900 * time.Millisecond)
		is.Equal(f.effects(), "unread 100ms")
	}
}

func TestTouchedMessageDoesNotSettle(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		how  How
		size int64
		want How
	}{{Noticed, 10, Renamed}, {Noticed, 11, Noticed}, {Written, 10, Written}} {
		is := is.New(t)
		f := in(t, "waiting")
		f.q.Arrived("m", tt.how, f.now)
		is.Equal(f.take(), "Stat")
		f.answer(Result{Place: InSpool, Version: Version{1, tt.size, 99}})
		is.Equal(f.opens(0).How, tt.want)
	}
}

// A file that takes the name of a message that is being removed keeps the information how it came.
func TestNameUsedAgainDoesNotSettle(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := in(t, "removing")
	f.q.Arrived("m", Renamed, f.now)
	f.answer(Result{})
	f.take()
	is.Equal(f.opens(0).How, Renamed)
}

func TestTemporaryNameWaitsForAnHour(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	f := newFixture(t)
	f.q.Arrived("m", Written, f.now)
	f.opens(0)
	v := Version{1, 10, f.now.Add(-10 * time.Minute).UnixNano()}
	f.answer(Result{Trouble: Temporary, Err: errors.New("temporary name"), Version: v})
	is.Equal(f.effects(), "unread 50m")
	is.True(f.q.Idle(f.now)) // a drain does not wait for the file
	for n := range f.q.Snapshot(f.now) {
		is.Equal(n.Record.Message().Error, "temporary name")
	}
}

// Every recipient has accepted the message, and another version of the file exists.
func TestMessageChangedAfterItWasSent(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		head func() *record.Head
		want string
	}{
		"one Message-ID": {func() *record.Head { return headOf(otherVersion) }, "failing | Fail | unusable"},
		"another one": {func() *record.Head {
			h := headOf(otherVersion)
			h.MessageID = "<2@x>"
			return h
		}, "ready |  | queued a, queued b"},
		"one Message-ID and a new recipient": {func() *record.Head {
			h := headOf(otherVersion)
			h.Addresses.To = append(h.Addresses.To, message.Address{Addr: "c@x"})
			return h
		}, "ready |  | queued c"},
		"only the inode": {func() *record.Head {
			h := headOf(thisVersion)
			h.Inode = 2
			return h
		}, "removing | Remove"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			f := in(t, "removing")
			f.answer(Result{Trouble: Replaced, Err: errLater})
			f.take()
			f.answer(Result{}) // the acceptances are recorded
			f.take()
			f.answer(Result{Trouble: Replaced, Err: errLater})
			f.opens(0)
			f.q.TakeEvents()
			h := tt.head()
			f.answer(Result{Version: Version{2, h.Size, h.Modified.UnixNano()}, Head: h})
			is.Equal(f.effects(), tt.want)
			if strings.HasPrefix(tt.want, "failing") {
				is.True(!f.act.Owed) // no report
				is.True(strings.Contains(f.act.Message.Reason(), "changed after it was sent"))
				for _, r := range f.act.Message.Recipients() {
					is.True(r.GivenUp) // if it is moved back, it is sent to all recipients
				}
			}
		})
	}
}
