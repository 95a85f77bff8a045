package record

import (
	"errors"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
)

// head returns what a file says whose header has that Message-ID (empty: none) and these recipients.
func head(id string, to ...string) Head {
	h := Head{Name: "m", Size: 9, Modified: start, Inode: 7, MessageID: id, Addresses: message.Addresses{From: "s@x"}}
	if id == "" {
		h.MessageID, h.Digest = "<made@x>", "digest"
	}
	for _, a := range to {
		h.Addresses.To = append(h.Addresses.To, message.Address{Addr: a, Err: message.CheckAddress(a)})
	}
	return h
}

func done(address string) Recipient {
	return Recipient{Address: address, Status: Done, LastAttempt: at(1)}
}

func givenUp(address string, minute int) Recipient {
	return Recipient{Address: address, Status: Done, GivenUp: true, Error: "550 no", Attempts: 1, LastAttempt: at(minute)}
}

func waits(address string) Recipient {
	return Recipient{Address: address, Attempts: 1, NextAttempt: at(30), LastAttempt: at(1), Error: "450 later"}
}

func TestDescribes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		m    Message
		want Match
	}{
		{"the same size and time", Message{Size: 9, Modified: start}, ThisVersion},
		{"the same time in another zone", Message{Size: 9, Modified: start.In(time.FixedZone("", 3600))}, ThisVersion},
		{"another size", Message{Size: 8, Modified: start}, OtherVersion},
		{"another time", Message{Size: 9, Modified: at(1)}, OtherVersion},
		{"no version", Message{}, NoVersion},
		{"no version, but an empty file", Message{Modified: start}, OtherVersion},
		{"some recipients", Message{Size: -1, Modified: start}, PartOnly},
	} {
		if got := tt.m.Describes(9, start); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestIsSame(t *testing.T) {
	t.Parallel()
	with, without := New(head("<1@x>"), start), New(head(""), start)
	withBody := without.Clone()
	withBody.BodyDigest = "body"
	for _, tt := range []struct {
		name string
		m    *Message
		old  Message
		want bool
	}{
		{"one Message-ID", with, Message{MessageID: "<1@x>", Size: 1, Modified: start}, true},
		{"another Message-ID", with, Message{MessageID: "<2@x>", Size: 1, Modified: start}, false},
		{"one digest in one file", without, Message{MessageID: "<old@x>", Digest: "digest", Inode: 7, Size: 1}, true},
		{"one digest in another file", without, Message{MessageID: "<old@x>", Digest: "digest", Inode: 8, Size: 1}, false},
		{"one digest and body in another file", withBody, Message{Digest: "digest", BodyDigest: "body", Inode: 8, Size: 1}, true},
		{"one digest and another body in one file", withBody, Message{Digest: "digest", BodyDigest: "other", Inode: 7, Size: 1}, false},
		{"another digest", without, Message{MessageID: "<old@x>", Digest: "other", Inode: 7, Size: 1}, false},
		{"a record of the 2014 tool", with, Message{}, true},
		{"a record with a version and no Message-ID", with, Message{Size: 1, Modified: start}, false},
	} {
		if got := tt.m.IsSame(&tt.old); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestResumeTakesOverWhatIsKnown(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	old := &Message{
		To:       []Recipient{done("a@x"), waits("b@x"), givenUp("c@x", 1), done("not valid"), waits("gone@x")},
		Attempts: 3, Enqueued: at(-60), MessageID: "<old@x>", Digest: "digest", Inode: 7,
	}
	m := New(head("", "a@x", "b@x", "c@x", "d@x", "not valid"), start)
	Resume(m, old)
	is.Equal(m.To[0], done("a@x"))
	is.Equal(m.To[1], waits("b@x"))
	is.Equal(m.To[2], givenUp("c@x", 1))
	is.Equal(m.To[3], Recipient{Address: "d@x", NextAttempt: start}) // new in the file
	is.True(m.To[4].GivenUp)                                         // not an address: whatever is known of it
	is.Equal(len(m.To), 5)                                           // a recipient that the file does not have is forgotten
	is.Equal(m.Attempts, 3)
	is.True(m.Enqueued.Equal(at(-60)))
	is.Equal(m.MessageID, "<old@x>") // relays have seen that one
	m = New(head("<1@x>"), start)
	Resume(m, &Message{Enqueued: at(5)})
	is.True(m.Enqueued.Equal(start)) // no message is younger than it is known to be
}

func TestKeepAcceptedTakesOverAcceptancesOnly(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := New(head("<1@x>", "a@x", "b@x", "c@x"), start)
	KeepAccepted(m, &Message{To: []Recipient{done("a@x"), waits("b@x"), givenUp("c@x", 1)}})
	is.Equal(m.To[0], done("a@x"))
	is.Equal(m.To[1], Recipient{Address: "b@x", NextAttempt: start})
	is.Equal(m.To[2], Recipient{Address: "c@x", NextAttempt: start})
}

func TestRecover(t *testing.T) {
	t.Parallel()
	why := &Failure{Time: at(10), Message: Message{
		MessageID: "<old@x>", Digest: "digest", Inode: 7, BodyDigest: "body", Size: 9, Modified: start,
		To: []Recipient{done("a@x"), givenUp("b@x", 5)},
	}}
	for _, tt := range []struct {
		name, id, digest, body string
		want                   bool
	}{
		{"one Message-ID", "<old@x>", "", "", true},
		{"another Message-ID", "<2@x>", "", "body", false},
		{"one header", "", "digest", "", true},
		{"one header and body", "", "digest", "body", true},
		{"one header and inode, another body", "", "digest", "other", false},
		{"a corrected header, one body", "", "corrected", "body", true},
		{"another header and body", "", "corrected", "other", false},
		{"another header, and no body is known", "", "corrected", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			h := head(tt.id, "a@x", "b@x")
			h.Digest, h.Body = tt.digest, tt.body
			m := New(h, start)
			is.Equal(Recover(m, why), tt.want)
			is.Equal(m.To[0].Accepted(), tt.want) // it is not sent again to a recipient that has it
			is.Equal(m.MessageID == "<old@x>", tt.want)
			is.Equal(m.To[1], Recipient{Address: "b@x", NextAttempt: start}) // and is sent to one that has not
		})
	}
}

// The record of a message that was moved back from failed/ may still say which recipients were given up before: the
// status file or the journal is older than the return.
func TestForgetGivenUp(t *testing.T) {
	t.Parallel()
	bad := Recipient{Address: "not valid", Status: Done, GivenUp: true, Error: "no address"}
	aged := Recipient{Address: "e@x", Status: Done, GivenUp: true, Error: "not delivered by"}
	why := &Failure{Time: at(10), Message: Message{MessageID: "<1@x>", Size: 9, Modified: start, To: []Recipient{
		done("a@x"), givenUp("b@x", 5), givenUp("c@x", 5), waits("d@x"), aged, bad,
	}}}
	for _, tt := range []struct {
		name  string
		known Recipient
		want  Recipient // after Resume and Recover
	}{
		{"accepted", done("a@x"), done("a@x")},
		{"given up before the return", givenUp("b@x", 5), Recipient{Address: "b@x", NextAttempt: at(20)}},
		{"given up when the why-file was written", givenUp("b@x", 10), Recipient{Address: "b@x", NextAttempt: at(20)}},
		{"given up after the return", givenUp("c@x", 15), givenUp("c@x", 15)},
		{"given up, but not by the why-file", givenUp("d@x", 5), givenUp("d@x", 5)},
		{"given up for its age without an attempt", aged, Recipient{Address: "e@x", NextAttempt: at(20)}},
		{"waits since the return", waits("b@x"), waits("b@x")},
		{"an invalid address", bad, bad},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			old := &Message{
				MessageID: "<1@x>", Size: 9, Modified: start, Enqueued: at(-60), Attempts: 4,
				To: []Recipient{done("first@x"), tt.known}, Cc: []Recipient{waits("other@x")},
			}
			m := New(head("<1@x>", "first@x", tt.known.Address, "other@x"), at(20))
			if m.To[1].GivenUp {
				m.To[1].Error = bad.Error
				m.To[1].NextAttempt = time.Time{}
			}
			ForgetGivenUp(m, old, why)
			Resume(m, old)
			is.True(Recover(m, why))
			is.Equal(m.To[0], done("first@x"))
			is.Equal(m.To[1], tt.want)
			is.Equal(m.To[2], waits("other@x"))
			again := tt.known.GivenUp && !tt.want.GivenUp
			is.Equal(m.Attempts == 0, again) // it has all its attempts and all its time again
			is.Equal(m.Enqueued.Equal(at(20)), again)
			is.Equal(len(Unknown(m, old)) == 1, again) // and is announced again
		})
	}
	is := is.New(t)
	old := &Message{MessageID: "<2@x>", Size: 9, Modified: start, To: []Recipient{givenUp("b@x", 5)}}
	ForgetGivenUp(New(head("<2@x>", "b@x"), at(20)), old, why)
	is.Equal(old.Len(), 1) // the why-file is about another message
}

func TestUnknownRecipients(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := New(head("<1@x>", "a@x", "b@x"), start)
	is.Equal(len(Unknown(m, nil)), 2)
	added := Unknown(m, &Message{Bcc: []Recipient{{Address: "a@x"}}})
	is.Equal(len(added), 1)
	is.Equal(added[0].Address, "b@x")
}

func TestFixTimes(t *testing.T) {
	t.Parallel()
	const maxAge = 5 * 24 * time.Hour
	for _, tt := range []struct {
		name                             string
		enqueued, modified, last, next   time.Time
		wantEnqueued, wantLast, wantNext time.Time
	}{
		{"a sane record", at(-60), at(-60), at(-5), at(5), at(-60), at(-5), at(5)},
		{"enqueued in the future", at(60), at(-60), at(-5), at(5), start, at(-5), at(5)},
		{"enqueued long before the file was written", at(-6 * 24 * 60), at(-10), at(-5), at(5), start, at(-5), at(5)},
		{"a file from the future", at(-6 * 24 * 60), at(60), at(-5), at(5), at(-6 * 24 * 60), at(-5), at(5)},
		{"tried in the future", at(-60), at(-60), at(60), at(90), at(-60), start, start},
		{"never tried", at(-60), at(-60), time.Time{}, at(5), at(-60), time.Time{}, at(5)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			m := &Message{Enqueued: tt.enqueued, Modified: tt.modified, To: []Recipient{
				{Address: "a", LastAttempt: tt.last, NextAttempt: tt.next}, {Address: "b", Status: Done, LastAttempt: at(70)},
			}}
			FixTimes(m, start, maxAge)
			is.True(m.Enqueued.Equal(tt.wantEnqueued))
			is.True(m.To[0].LastAttempt.Equal(tt.wantLast))
			is.True(m.To[0].NextAttempt.Equal(tt.wantNext))
			is.True(m.To[1].LastAttempt.Equal(at(70))) // only who waits is tried again
		})
	}
}

func TestAnchorMakesTimesMonotonic(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	now := time.Now()
	wall := now.Round(0)
	m := &Message{
		Enqueued: wall.Add(-time.Hour), NotBefore: wall.Add(time.Minute), Expire: wall.Add(time.Hour),
		To: []Recipient{{NextAttempt: wall.Add(time.Second), LastAttempt: wall.Add(-time.Second)}, {NextAttempt: wall.Add(time.Minute)}},
	}
	Anchor(m, now)
	is.Equal(m.Enqueued, now.Add(-time.Hour))
	is.Equal(m.To[0].NextAttempt, now.Add(time.Second))
	is.Equal(m.To[0].LastAttempt, now.Add(-time.Second))
	is.Equal(m.To[1].NextAttempt, wall.Add(time.Minute)) // the time that the sender has set, by the wall clock
	is.True(m.To[1].LastAttempt.IsZero())
	is.Equal(m.NotBefore, wall.Add(time.Minute))
	is.Equal(m.Expire, wall.Add(time.Hour))
}

func TestCanEdit(t *testing.T) {
	t.Parallel()
	full := &Message{Size: 9, Modified: start}
	part := &Message{Size: -1, Modified: start}
	for _, tt := range []struct {
		name    string
		by, old *Message
		want    bool
	}{
		{"the present version", &Message{Size: 9, Modified: start}, full, true},
		{"another version", &Message{Size: 8, Modified: start}, full, false},
		{"no version: a program left the fields out", &Message{}, full, true},
		{"some recipients, while all are known", &Message{Size: -1, Modified: start}, full, false},
		{"some recipients, as are known", &Message{Size: -1, Modified: start}, part, true},
		{"some recipients of another version", &Message{Size: -1, Modified: at(1)}, part, false},
	} {
		if got := CanEdit(tt.by, tt.old); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestEdited(t *testing.T) {
	t.Parallel()
	busy := Recipient{Address: "a", Status: InProgress, Attempts: 2, LastAttempt: at(1)}
	for _, tt := range []struct {
		name      string
		known, by Recipient
		paused    time.Time
		want      Recipient
	}{
		{"marked as done", waits("a"), Recipient{Address: "a", Status: Done}, at(5), Recipient{Address: "a", Status: Done}},
		{"made to wait again", givenUp("a", 1), Recipient{Address: "a"}, at(5), Recipient{Address: "a"}},
		{"accepted before the pause, made to wait again", done("a"), Recipient{Address: "a"}, at(5), Recipient{Address: "a"}},
		{"accepted since the pause", done("a"), waits("a"), at(0), done("a")},
		{"given up since the pause", givenUp("a", 6), waits("a"), at(5), givenUp("a", 6)},
		{"deferred since the pause, marked as done", waits("a"), Recipient{Address: "a", Status: Done}, at(0),
			Recipient{Address: "a", Status: Done}},
		{"in progress", busy, waits("a"), at(5), busy},
		{"in progress, marked as done", busy, Recipient{Address: "a", Status: Done}, at(5), busy},
		{"never tried", Recipient{Address: "a"}, Recipient{Address: "a", NextAttempt: at(99)}, at(0),
			Recipient{Address: "a", NextAttempt: at(99)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			m := &Message{
				To: []Recipient{tt.known}, Cc: []Recipient{{Address: "gone"}}, Size: 9, Modified: start, MessageID: "<1@x>",
				Digest: "d", Inode: 7, Held: at(2), RawName: []byte("\xff"), Priority: 1,
			}
			by := &Message{To: []Recipient{tt.by}, Cc: []Recipient{{Address: "new"}}, Priority: 5, Error: "x", From: "new@x"}
			c := Edited(m, by, tt.paused)
			is.Equal(c.To[0], tt.want)
			is.Equal(c.Cc, []Recipient{{Address: "new"}}) // recipients are taken out and added by hand
			is.Equal(c.From, "new@x")
			is.Equal(c.Priority, 5)
			is.True(c.Modified.Equal(start)) // the identity of the file stays
			is.True(c.Held.Equal(at(2)))
			is.Equal([]any{c.Size, c.MessageID, c.Digest, c.Inode, string(c.RawName)}, []any{int64(9), "<1@x>", "d", uint64(7), "\xff"})
			is.Equal(m.To[0], tt.known) // m stays as it is
		})
	}
}

func TestAcceptedOnly(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{To: []Recipient{done("a"), waits("b"), givenUp("c", 1)}, Size: 9, Modified: start, Attempts: 3, NotBefore: at(20)}
	c := AcceptedOnly(m, at(5))
	is.Equal(c.To[0], done("a"))
	is.Equal(c.To[1], Recipient{Address: "b", NextAttempt: at(20)}) // afresh, but not before its time
	is.Equal(c.To[2], Recipient{Address: "c", NextAttempt: at(20)})
	is.True(c.Partial()) // the file is read again
	is.Equal(c.Attempts, 0)
	is.Equal(m.To[1], waits("b")) // m stays as it is
}

func TestRelease(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{Enqueued: start, Held: at(10)}
	Release(m, at(70))
	is.True(m.Enqueued.Equal(at(60))) // the time in hold/ is not age
	is.True(m.Held.IsZero())
	Release(m, at(90))
	is.True(m.Enqueued.Equal(at(60)))
}

func TestNewGivesUpInvalidAddresses(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	h := head("<1@x>", "a@x", "b@x")
	h.Addresses.To[1].Err = errors.New("no address")
	h.Envelope = &message.Envelope{NotBefore: at(5), Expire: at(50), Priority: 3}
	m := New(h, start)
	is.Equal(m.To[0], Recipient{Address: "a@x", NextAttempt: at(5)})
	is.Equal(m.To[1], Recipient{Address: "b@x", NextAttempt: at(5), Status: Done, GivenUp: true, Error: "no address"})
	is.Equal([]any{m.Priority, m.Expire, m.Digest, m.Inode}, []any{3, at(50), "", uint64(0)})
	is.True(m.Cc != nil && m.Bcc != nil) // [] in JSON
}
