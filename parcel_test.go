package spoolgore

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/spooldir"
)

// leaves calls each for every field of v that holds a value, and makes what they are in: two elements of every list, and
// what every pointer points to.
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

func TestEveryFieldOfAMessageIsInItsParcel(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	q, full, fields := knowing(nil), &Message{}, 0
	leaves(reflect.ValueOf(full).Elem(), "", func(path string, leaf reflect.Value) {
		fill(t, path, leaf, fields)
		is.True(!leaf.IsZero())
		fields++
	})
	is.True(reflect.DeepEqual(q.wrap(full).open(), full)) // all of them together
	for i := range fields {
		m, n, name := &Message{}, 0, ""
		leaves(reflect.ValueOf(m).Elem(), "", func(path string, leaf reflect.Value) {
			if n == i {
				fill(t, path, leaf, i)
				name = path
			}
			n++
		})
		if !reflect.DeepEqual(q.wrap(m).open(), m) { // and each alone, so that none is taken for another one
			t.Errorf("%s does not come back", name)
		}
	}
}

// BenchmarkTried says what a message costs by the attempts for its one recipient, in memory and in the status file.
func BenchmarkTried(b *testing.B) {
	dir, err := spooldir.New(b.TempDir())
	check(b, err)
	for _, tt := range []struct {
		name  string
		tries int
		reply string // a number is put in
	}{
		{"none", 0, ""}, {"one", 1, "450 4.2.1 mailbox busy, try again later"}, {"two", 2, "450 4.2.1 mailbox busy, try again later"},
		{"10 alike", 10, "450 4.2.1 mailbox busy, try again later"}, {"10 each different", 10, "450 4.2.1 mailbox busy, try again in %d seconds"},
		{"100 each different", 100, "450 4.2.1 mailbox busy, try again in %d seconds"}, {"100 each different and long", 100, strings.Repeat("%d-", 200)},
		{"10 without a reply", 10, ""},
	} {
		b.Run(tt.name, func(b *testing.B) {
			now := time.Now()
			m := &Message{From: "sender@example.com", To: []Recipient{{Address: "recipient@example.org"}}, Enqueued: now, Modified: now, Size: 4096, MessageID: "<20261123T214905.k7f3q2aa@example.com>"}
			for i := range tt.tries {
				now = now.Add(time.Duration(i+1)*time.Minute + 123456789)
				reply, fault := "", &DeliveryError{Fault: FaultMessage, Op: "end", Err: errors.New("unexpected EOF")}
				if tt.reply != "" {
					reply = strings.ReplaceAll(tt.reply, "%d", fmt.Sprint(1000+i))
					fault = &DeliveryError{Fault: FaultRecipient, Op: "rcpt", Code: 450, Err: errors.New(reply)}
				}
				res := Result{Relay: "mail.example.com:587", TLS: "TLS 1.3", Reply: reply, Err: fault}
				m.settle(map[string]*Recipient{m.To[0].Address: &m.To[0]}, result{job: job{to: []string{m.To[0].Address}}, recipients: []Result{res}}, Options{Attempts: 1000, Backoff: seldom}, now)
			}
			p, file := knowing(nil).wrap(m), &bytes.Buffer{}
			check(b, writeStatus(file, dir, []record{{"m", p}}, well, now))
			for b.Loop() {
				p.open()
			}
			b.ReportMetric(float64(len(p.text)), "B/parcel")
			b.ReportMetric(float64(file.Len()), "B/status")
		})
	}
}
