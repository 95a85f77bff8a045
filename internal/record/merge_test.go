package record

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
)

// head returns the head of a file with that Message-ID (empty: none) and these recipients.
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
		{"the same inode", Message{Size: 9, Modified: start, Inode: 7}, ThisVersion},
		{"another inode", Message{Size: 9, Modified: start, Inode: 8}, OtherVersion},
		{"another size", Message{Size: 8, Modified: start}, OtherVersion},
		{"another time", Message{Size: 9, Modified: at(1)}, OtherVersion},
		{"no version", Message{}, NoVersion},
		{"no version, but an empty file", Message{Modified: start}, OtherVersion},
		{"some recipients", Message{Size: -1, Modified: start}, PartOnly},
	} {
		if got := tt.m.Describes(9, start, 7); got != tt.want {
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
	// an invalid address stays given up, whatever the record says
	is.True(m.To[4].GivenUp)
	is.Equal(len(m.To), 5) // a recipient that the file lacks is dropped
	is.Equal(m.Attempts, 3)
	is.True(m.Enqueued.Equal(at(-60)))
	is.Equal(m.MessageID, "<old@x>") // relays have got this Message-ID
	m = New(head("<1@x>"), start)
	Resume(m, &Message{Enqueued: at(5)})
	is.True(m.Enqueued.Equal(start)) // the earlier time of the record
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
			is.Equal(m.To[0].Accepted(), tt.want) // a recipient that has accepted the message does not get it again
			is.Equal(m.MessageID == "<old@x>", tt.want)
			is.Equal(m.To[1], Recipient{Address: "b@x", NextAttempt: start}) // the other recipient does
		})
	}
}

// The record of a message that was moved back from failed/ may still have the recipients as given up: the status file
// or the journal is older than the return.
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
			is.Equal(m.Attempts == 0, again) // attempts and age begin again
			is.Equal(m.Enqueued.Equal(at(20)), again)
			is.Equal(len(Unknown(m, old)) == 1, again) // and there is a new event queued
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
		{"enqueued in the future, never tried", at(60), at(-60), time.Time{}, at(60), start, time.Time{}, start},
		{"a wait that ends long after the message", at(-60), at(-60), time.Time{}, at(11 * 24 * 60), at(-60), time.Time{}, start},
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
			is.True(m.To[1].LastAttempt.Equal(at(70))) // only a waiting recipient is tried again
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
			c := Edited(m, by, Edit{Since: tt.paused})
			is.Equal(c.To[0], tt.want)
			is.Equal(c.Cc, []Recipient{{Address: "new", Added: true}}) // recipients are removed and added by the edit
			is.Equal(c.From, "new@x")
			is.Equal(c.Priority, 5)
			is.True(c.Modified.Equal(start)) // the identity of the file is kept
			is.True(c.Held.Equal(at(2)))
			is.Equal([]any{c.Size, c.MessageID, c.Digest, c.Inode, string(c.RawName)}, []any{int64(9), "<1@x>", "d", uint64(7), "\xff"})
			is.Equal(m.To[0], tt.known) // m is not changed
		})
	}
}

// If a file is edited without a pause, it may be older than an acceptance. The acceptance is kept.
func TestEditedLive(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{To: []Recipient{done("done"), waits("waits"), givenUp("new", 6)}}
	by := &Message{To: []Recipient{{Address: "done"}, {Address: "waits", NextAttempt: at(3)}, {Address: "new"}}}
	c := Edited(m, by, Edit{Since: at(5), Live: true})
	is.Equal(c.To, []Recipient{done("done"), {Address: "waits", NextAttempt: at(3)}, givenUp("new", 6)})
}

// A program that writes the file without the time of the arrival makes no message too old.
func TestEditedWithoutArrivalKeepsTheAge(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{To: []Recipient{waits("a")}, Enqueued: start}
	is.True(Edited(m, &Message{To: []Recipient{{Address: "a"}}}, Edit{}).Enqueued.Equal(start))
	is.True(Edited(m, &Message{To: []Recipient{{Address: "a"}}, Enqueued: at(1)}, Edit{}).Enqueued.Equal(at(1)))
}

func TestAcceptedOnly(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{To: []Recipient{done("a"), waits("b"), givenUp("c", 1)}, Size: 9, Modified: start, Attempts: 3, NotBefore: at(20)}
	c := AcceptedOnly(m, at(5))
	is.Equal(c.To[0], done("a"))
	is.Equal(c.To[1], Recipient{Address: "b", NextAttempt: at(20)}) // a new recipient, but not before NotBefore
	is.Equal(c.To[2], Recipient{Address: "c", NextAttempt: at(20)})
	is.True(c.Partial()) // the file is to be read again
	is.Equal(c.Attempts, 0)
	is.Equal(m.To[1], waits("b")) // m is not changed
}

func TestRelease(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{Enqueued: start, Held: at(10)}
	Release(m, at(70))
	is.True(m.Enqueued.Equal(at(60))) // the time in hold/ does not count as age
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
	is.Equal([]any{m.Priority, m.Expire, m.Digest, m.Inode}, []any{3, at(50), "", uint64(7)})
	is.True(m.Cc != nil && m.Bcc != nil) // [] in JSON
}

func TestFixTimesMarksOverdue(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                    string
		enqueued, overdue, want int // minutes after start; 0 for overdue and want: not overdue
	}{
		{"younger than an hour", -59, 0, 0},
		{"found older than an hour", -61, 0, 1},
		{"found so before", -90, -20, -20},
		{"found so by a clock that was ahead", -90, 20, 1},
		{"the age was raised since", -30, -20, 0},
	} {
		is := is.New(t)
		m := &Message{Enqueued: at(tt.enqueued + 1)}
		if tt.overdue != 0 {
			m.Overdue = at(tt.overdue)
		}
		FixTimes(m, at(1), time.Hour)
		is.Equal(!m.Overdue.IsZero(), tt.want != 0) // tt.name
		is.True(tt.want == 0 || m.Overdue.Equal(at(tt.want)))
	}
}

func TestReleaseAfterTheClockWasSetBack(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := &Message{Enqueued: at(-60), Held: at(365 * 24 * 60)}
	Release(m, start)
	is.Equal(m.Enqueued, at(-60))
	is.True(m.Held.IsZero())
}

// A recipient that an operator removed from the status file stays removed when the file is read again.
func TestRemovedRecipients(t *testing.T) {
	t.Parallel()
	file := New(head("<1@x>", "a@x", "b@x"), start)
	edit := func(m *Message, to ...string) *Message { // an edit of the status file
		by := m.Clone()
		by.To = nil
		for _, address := range to {
			by.To = append(by.To, waits(address))
		}
		return by
	}
	removed := Edited(file, edit(file, "a@x"), Edit{Since: at(1)})
	for _, tt := range []struct {
		name string
		old  *Message
		now  Head // the head when the file is read again
		want string
	}{
		{"taken out while the daemon ran", removed, head("<1@x>", "a@x", "b@x"), "a@x"},
		{"taken out, then another edit", Edited(removed, edit(removed, "a@x"), Edit{Since: at(1)}), head("<1@x>", "a@x", "b@x"), "a@x"},
		{"taken out and put back", Edited(removed, edit(removed, "a@x", "b@x"), Edit{Since: at(1)}), head("<1@x>", "a@x", "b@x"), "a@x b@x"},
		{"taken out while no daemon ran", edit(file, "a@x"), head("<1@x>", "a@x", "b@x"), "a@x"},
		{"all taken out", edit(file), head("<1@x>", "a@x", "b@x"), ""},
		{"the file names another one", file, head("<1@x>", "a@x", "c@x"), "a@x c@x"},
		{"not known to the record of some recipients", func() *Message {
			m := edit(file, "a@x")
			m.MakePartial()
			return m
		}(), head("<1@x>", "a@x", "b@x"), "a@x b@x"},
	} {
		is := is.New(t)
		for _, resume := range []func(m, old *Message){Resume, KeepAccepted} {
			m := New(tt.now, at(2))
			resume(m, tt.old)
			var to []string
			for _, r := range m.Recipients() {
				to = append(to, r.Address)
			}
			is.Equal(strings.Join(to, " "), tt.want) // tt.name
		}
	}
	is := is.New(t)
	longer := head("<1@x>", "a@x", "c@x", "b@x")
	longer.Size++
	m := New(longer, at(2))
	Resume(m, removed)
	is.Equal(m.Len(), 2) // c@x is new in the file, b@x stays out
	is.Equal(m.Removed, []string{"b@x"})
}

func TestReasonOfMessageWithoutRecipients(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	is.True(strings.Contains((&Message{}).Reason(), "no recipient"))
	is.Equal(NewUnreadable("m", "header too long", 1, start, start).Reason(), "header too long")
}

// A recipient that an operator added to the status file stays when the file is read again, unless the file is another
// one by its size, or names other recipients.
func TestAddedRecipients(t *testing.T) {
	t.Parallel()
	file := New(head("<1@x>", "a@x", "b@x"), start)
	by := file.Clone()
	by.To = []Recipient{waits("a@x"), waits("c@x")}
	edited := Edited(file, by, Edit{Since: at(1)})
	longer := head("<1@x>", "a@x", "b@x")
	longer.Size++
	for want, now := range map[string]Head{
		"a@x c@x": head("<1@x>", "a@x", "b@x"), "a@x": longer, "": head("<1@x>", "b@x"), "d@x": head("<1@x>", "d@x"),
	} {
		is := is.New(t)
		m := New(now, at(2))
		Resume(m, edited)
		var to []string
		for _, r := range m.Recipients() {
			to = append(to, r.Address)
		}
		is.Equal(strings.Join(to, " "), want)
	}
}
