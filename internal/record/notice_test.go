package record

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/dsn"
)

func TestNoticeAt(t *testing.T) {
	t.Parallel()
	reported, warned := givenUp("b", 20), waits("a")
	reported.Told, warned.Warned = true, true
	never := time.Time{}
	for _, tt := range []struct {
		name   string
		from   string
		to     []Recipient
		warn   time.Duration
		want   time.Time
		before time.Time // NotBefore
	}{
		{"all wait, warnings off", "s", []Recipient{waits("a")}, 0, never, never},
		{"all wait", "s", []Recipient{waits("a")}, 4 * time.Hour, at(240), never},
		{"the age counts from NotBefore", "s", []Recipient{waits("a")}, 4 * time.Hour, at(300), at(60)},
		{"warned", "s", []Recipient{warned}, 4 * time.Hour, never, never},
		{"the null sender", "", []Recipient{waits("a"), givenUp("b", 20)}, 4 * time.Hour, never, never},
		{"one given up", "s", []Recipient{waits("a"), givenUp("b", 20)}, 4 * time.Hour, at(80), never},
		{"one given up before it was tried", "s", []Recipient{waits("a"), {Status: Done, GivenUp: true}}, 0, at(60), never},
		{"one given up, and reported", "s", []Recipient{waits("a"), reported}, 4 * time.Hour, at(240), never},
		{"two given up: the earlier one decides", "s", []Recipient{givenUp("c", 30), waits("a"), givenUp("b", 20)}, 0, at(80), never},
		{"none waits: the notice is made from failed/", "s", []Recipient{givenUp("b", 20)}, 4 * time.Hour, never, never},
	} {
		m := &Message{From: tt.from, To: tt.to, Enqueued: start, NotBefore: tt.before}
		if got := NoticeAt(m, tt.warn); !got.Equal(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestNoticeSaysWhatIsDue(t *testing.T) {
	t.Parallel()
	about := func(n Notice) (words []string) {
		for _, r := range n.Recipients {
			words = append(words, fmt.Sprint(r.Address, " ", r.Action))
		}
		return words
	}
	failedWord, delayedWord := fmt.Sprint(dsn.Failed), fmt.Sprint(dsn.Delayed)
	is := is.New(t)
	m := &Message{From: "s", Enqueued: start, MessageID: "<1@x>", To: []Recipient{waits("a"), givenUp("b", 20), done("c"), waits("d")}}
	early := NoticeOf(m, 4*time.Hour, at(999), at(80))
	is.Equal(about(early), []string{"b " + failedWord})
	is.Equal([]any{early.To, early.MessageID, early.Total}, []any{"s", "<1@x>", 4})
	late := NoticeOf(m, 4*time.Hour, at(999), at(240))
	is.Equal(about(late), []string{"a " + delayedWord, "b " + failedWord, "d " + delayedWord})
	is.True(late.Recipients[0].Until.Equal(at(999)))
	is.Equal(about(NoticeOf(m, 0, at(999), at(240))), []string{"b " + failedWord}) // warnings are switched off

	Noticed(m, late.Recipients)
	is.Equal([]bool{m.To[0].Warned, m.To[1].Told, m.To[2].Told, m.To[3].Warned}, []bool{true, true, false, true})
	is.Equal(len(NoticeOf(m, 4*time.Hour, at(999), at(300)).Recipients), 0) // the notice was made before
	is.True(NoticeAt(m, 4*time.Hour).IsZero())
	is.True(!OwesNotice(m, ""))

	m.To[1] = Recipient{Address: "b", Attempts: 1} // an operator made b wait again while the notice was written
	Noticed(m, late.Recipients)
	is.True(!m.To[1].Told)
}

func TestNoticeOfAFailedMessage(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	reported := givenUp("c@x", 1)
	reported.Told = true
	bad := Recipient{Address: "not valid", Status: Done, GivenUp: true, Error: "no address"}
	m := &Message{From: "s", Enqueued: start, To: []Recipient{givenUp("b@x", 20), reported, done("a@x"), bad}}
	is.True(OwesNotice(m, ""))
	text, err := FailureOf(m, "/spool/m", at(30)).Encode()
	is.NoErr(err)
	f, err := DecodeFailure(text)
	is.NoErr(err)
	is.Equal(f.File, "/spool/m")
	is.True(f.Time.Equal(at(30)))
	is.Equal(f.Reason, "b@x: 550 no (and 2 more recipients)")
	n := f.Notice()
	is.Equal(len(n.Recipients), 2) // one of three recipients has been reported already
	is.Equal(n.Recipients[0].Address, "b@x")
	is.Equal(n.Recipients[1].Status, "5.1.3") // never offered to a relay: the address is invalid
	_, err = DecodeFailure([]byte("{"))
	is.True(err != nil)
	m.From = ""
	is.True(!OwesNotice(m, "")) // the null sender gets no report
}

func TestNoticeQuotesTheLastReply(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	r := &Recipient{Address: "b@x"}
	o := permanent(failed(ofRecipient, errors.New("rcpt: 550 5.1.1 unknown")))
	o.Reply = "550 5.1.1 unknown"
	r.note(o, at(3))
	r.apply(o, false, everyMinute(9), at(3))
	got := r.reported(dsn.Failed)
	is.Equal([]any{got.Reply, got.Relay, got.Reason, got.Last}, []any{"550 5.1.1 unknown", "mail:25", "rcpt: 550 5.1.1 unknown", at(3)})
}

func TestNewUnreadable(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	m := NewUnreadable("\xff", "no header", 5, start, at(1))
	is.Equal([]any{m.Len(), m.Error, string(m.RawName), m.Size, m.Failed(), m.Reason()}, []any{0, "no header", "\xff", int64(5), true, "no header"})
}
