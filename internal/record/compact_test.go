package record

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// leaves calls each for every field of v that holds a value. It makes two elements of every list, and a target for
// every pointer.
func leaves(v reflect.Value, path string, each func(path string, leaf reflect.Value)) {
	_, isTime := v.Interface().(time.Time)
	switch {
	case v.Kind() == reflect.Struct && !isTime:
		for i := range v.NumField() {
			leaves(v.Field(i), path+"."+v.Type().Field(i).Name, each)
		}
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		leaves(v.Elem(), path, each)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			leaves(v.Index(i), fmt.Sprintf("%s[%d]", path, i), each)
		}
	default:
		each(path, v)
	}
}

// fill gives a field the n-th of many values, none of them zero.
func fill(t *testing.T, path string, leaf reflect.Value, n int) {
	t.Helper()
	switch leaf.Interface().(type) {
	case time.Time:
		zones := []*time.Location{time.UTC, time.FixedZone("", 3600), time.FixedZone("", -90*60)}
		leaf.Set(reflect.ValueOf(time.Date(1500+100*(n%9), 1, 2, 3, 4, 5, n+1, zones[n%len(zones)])))
		return
	case []string:
		leaf.Set(reflect.ValueOf([]string{fmt.Sprint(path, n), ""}))
		return
	case []byte:
		leaf.SetBytes([]byte{0xff, byte(n)})
		return
	}
	switch leaf.Kind() {
	case reflect.String:
		leaf.SetString(fmt.Sprint("\xff", path, n))
	case reflect.Bool:
		leaf.SetBool(true)
	case reflect.Int, reflect.Int64:
		leaf.SetInt(int64(-1-n) << 40)
	case reflect.Uint64:
		leaf.SetUint(1<<63 + uint64(n))
	default:
		t.Fatalf("%s: no value of type %v", path, leaf.Type())
	}
}

// Every field of a message is in its compact form: all fields together, and each alone, so that no field is taken for
// another.
func TestCompactKeepsEveryField(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	pack := func(m *Message) *Message { return NewPacker(time.Now()).Pack(m, time.Now()).Message() }
	full, fields := &Message{}, 0
	leaves(reflect.ValueOf(full).Elem(), "", func(path string, leaf reflect.Value) {
		fill(t, path, leaf, fields)
		is.True(!leaf.IsZero())
		fields++
	})
	is.True(fields > 100)
	is.True(reflect.DeepEqual(pack(full), full))
	for i := range fields {
		m, n, name := &Message{}, 0, ""
		leaves(reflect.ValueOf(m).Elem(), "", func(path string, leaf reflect.Value) {
			if n == i {
				fill(t, path, leaf, i)
				name = path
			}
			n++
		})
		if !reflect.DeepEqual(pack(m), m) {
			t.Errorf("%s does not come back", name)
		}
	}
}

func TestCompactKeepsTheMonotonicClock(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	now := time.Now()
	c := NewPacker(now).Pack(&Message{Enqueued: now, Modified: now.Round(0)}, now)
	is.Equal(c.Message().Enqueued, now) // with the monotonic clock, for comparisons
	is.Equal(c.Message().Enqueued.Sub(now), time.Duration(0))
	is.Equal(c.Shown().Enqueued, now.Round(0))        // the wall clock only, for writing
	is.True(c.Message().Modified.Equal(now.Round(0))) // a time of a file has the wall clock only
	is.Equal(c.Message().Modified, c.Message().Modified.Round(0))
}

func TestZeroCompactIsEmpty(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	is.True(!Compact{}.Holds())
	is.True(reflect.DeepEqual(Compact{}.Message(), &Message{}))
	is.True(NewPacker(start).Pack(&Message{}, start).Holds()) // an empty message holds
}

// A deferred message takes little memory: sender, relay and reply are shared by all messages.
func TestCompactOfADeferredMessageIsSmall(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	p, now := NewPacker(start), start
	for i := range 10 {
		a := Attempt{
			Time: now, Relay: "relay.example.org:587", Reply: "451 4.7.1 try again later",
			Error: "rcpt: 451 4.7.1 try again later",
		}
		m := &Message{
			From: "sender@example.com", Attempts: 1, Enqueued: now, Size: 4096, Modified: now, Inode: 1 << 30,
			MessageID: fmt.Sprintf("<%d@example.com>", i), UID: "1000", To: []Recipient{{
				Address: fmt.Sprintf("recipient%d@example.org", i), Attempts: 1, NextAttempt: now.Add(time.Hour),
				Error: a.Error, Relay: a.Relay, LastAttempt: now, History: &History{First: a, Last: a},
			}},
		}
		c := p.Pack(m, now)
		is.True(reflect.DeepEqual(c.Message().To, m.To))
		is.True(i < 2 || len(c.text) <= 112) // measured: 96, the first one 191
	}
}

// BenchmarkHistory measures a message with one recipient after a number of attempts: bytes in memory and in the status
// file.
func BenchmarkHistory(b *testing.B) {
	const busy = "450 4.2.1 mailbox busy, try again later"
	for _, tt := range []struct {
		name  string
		tries int
		reply string // %d: a number that differs in each attempt
	}{
		{"none", 0, ""}, {"one", 1, busy}, {"two", 2, busy}, {"10 same", 10, busy},
		{"10 different", 10, "450 4.2.1 mailbox busy, try again in %d seconds"},
		{"100 different", 100, "450 4.2.1 mailbox busy, try again in %d seconds"},
		{"100 different and long", 100, strings.Repeat("%d-", 200)}, {"10 without a reply", 10, ""},
	} {
		b.Run(tt.name, func(b *testing.B) {
			now := time.Now()
			m := &Message{
				From: "sender@example.com", To: []Recipient{{Address: "recipient@example.org"}}, Enqueued: now, Modified: now,
				Size: 4096, MessageID: "<20261123T214905.k7f3q2aa@example.com>",
			}
			for i := range tt.tries {
				now = now.Add(time.Duration(i+1)*time.Minute + 123456789)
				o := failed(ofMessage, errors.New("end: unexpected EOF"))
				if tt.reply != "" {
					o.Reply = strings.ReplaceAll(tt.reply, "%d", fmt.Sprint(1000+i))
					o.Fault, o.Err = ofRecipient, errors.New("rcpt: "+o.Reply)
				}
				m.Apply(m.Start(now, nil), []outcome{o}, everyMinute(1000), now)
			}
			c := NewPacker(now).Pack(m, now)
			var file bytes.Buffer
			e := NewStatusEncoder(&file, 1000)
			check(b, e.Add("/spool/m", m))
			check(b, e.Close())
			for b.Loop() {
				c.Message()
			}
			b.ReportMetric(float64(len(c.text)), "B/compact")
			b.ReportMetric(float64(file.Len()), "B/status")
		})
	}
}

// The memory of one message serves for others, of any size: nothing of the one before is seen, and no time is lost for a
// message with many recipients that came before.
func TestMessageInMemoryOfAnother(t *testing.T) {
	is := is.New(t)
	now := time.Now()
	p := NewPacker(now)
	with := func(n int, h *History) *Message {
		m := &Message{From: "s@example.com", To: []Recipient{}, Cc: make([]Recipient, n), Bcc: []Recipient{}}
		for i := range m.Cc {
			m.Cc[i] = Recipient{Address: "r@example.com", Attempts: n, History: h}
		}
		return m
	}
	h := &History{First: Attempt{Relay: "a", Reply: "b"}, Last: Attempt{Relay: "c"}, Times: 3, Runs: []AttemptRun{{Times: 2}}}
	var in, shown Message
	for _, m := range []*Message{with(1, h), with(3, nil), with(0, nil), with(2, h), with(1, nil), with(500, h), with(1, nil), with(2, h)} {
		packed := p.Pack(m, now)
		packed.MessageIn(&in)
		is.Equal(&in, m)
		packed.ShownIn(&shown)
		is.Equal(&shown, m)
	}
	is.True(cap(in.Cc) < 100) // not the memory of 500
}
