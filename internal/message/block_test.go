package message

import (
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestTopBlockIsTheEnvelope(t *testing.T) {
	const rest = "From: f@x\nTo: a@x\nBcc: d@x\n\nbody"
	for _, tt := range []struct{ name, block, from, to string }{
		{"sender and receivers", "X-Sender: s@x\nX-Receiver: a@x\nX-Receiver: hidden@x\n", "s@x", "a@x | hidden@x"},
		{"any order and case", "x-receiver: a@x\nX-SENDER: s@x\nX-Receiver: <b@x>\n", "s@x", "a@x | b@x"},
		{"null sender", "X-Sender: <>\nX-Receiver: a@x\n", "", "a@x"},
		{"empty sender", "X-Sender:\nX-Receiver: a@x\n", "", "a@x"},
		{"sender with a name", "X-Sender: Shop <s@x>\nX-Receiver: Ann <a@x>\n", "s@x", "a@x"},
		{"first sender", "X-Sender: s@x\nX-Sender: t@x\nX-Receiver: a@x\n", "s@x", "a@x"},
		{"no sender", "X-Receiver: a@x\n", "f@x", "a@x"},
		{"a list", "X-Receiver: a@x, Bob <b@x>;c@x\n", "f@x", "a@x | b@x | c@x"},
		{"a list with VERP", "X-Receiver: a@x, b=c@x; d=e@x NOTIFY=NEVER\n", "f@x", "a@x | b=c@x | d=e@x"},
		{"once each", "X-Receiver: a@x\nX-Receiver: a@X\n", "f@x", "a@x"},
		{"bad receiver", "X-Receiver: a@x\nX-Receiver: no address\n", "f@x", "a@x | !no address(no domain)"},
		{"bad sender", "X-Sender: nobody\nX-Receiver: a@x\n", `!sender "nobody": no domain`, "a@x"},
		{"dots", "X-Sender: s..t@x.\nX-Receiver: a.@x\n", `"s..t"@x`, `"a."@x`},
		{"parameters", "X-Sender: <s@x> BODY=7bit RET=HDRS ENVID=q1\nX-Receiver: <a@x> NOTIFY=NEVER ORCPT=rfc822;b@x\n", "s@x", "a@x"},
		{"folded", "X-Receiver: a@x,\n b@x\n", "f@x", "a@x | b@x"},
		{"own fields only", "X-Spoolgore-Priority: 3\n", "f@x", "a@x | d@x"},
		{"sender and own fields", "X-Spoolgore-Priority: 3\nX-Sender: s@x\n", "s@x", "a@x | d@x"},
		{"sender alone is an ordinary field", "X-Sender: s@x\n", "f@x", "a@x | d@x"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			a := headerOf(t, tt.block+rest).Addresses()
			if a.FromErr != nil {
				a.From = "!" + a.FromErr.Error()
			}
			is.Equal(a.From, tt.from)
			is.Equal(show(append(append(a.To, a.Cc...), a.Bcc...)), tt.to)
		})
	}
}

func TestTopBlockParameters(t *testing.T) {
	is := is.New(t)
	h := headerOf(t, "X-Sender: <s@x> BODY=8bit ret=full ENVID=q1\n"+
		"X-Receiver: <a@x> Notify=success,delay ORcpt=rfc822;z@x\nX-Receiver: <b@x>\nX-Receiver: c@x NOTIFY=often\n\n")
	env, err := h.Envelope(time.Time{})
	is.NoErr(err)
	is.Equal(*env, Envelope{From: "s@x", To: []string{"a@x", "b@x", "c@x"}, Ret: "FULL", EnvID: "q1",
		Notify: []string{"SUCCESS,DELAY", "", ""}, ORcpt: []string{"rfc822;z@x", "", ""}})
	is.Equal(len(h.LeftOut()), 4) // no line of the block is sent
	is.Equal(h.Origin(), Origin{"X-Sender", "X-Receiver", "X-Receiver", "X-Receiver"})
}

func TestTopBlockTimes(t *testing.T) {
	is := is.New(t)
	arrived := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	env, err := headerOf(t, "X-Spoolgore-Expire: 36h\nX-Spoolgore-NotBefore: 2026-03-04T08:00:00Z\nX-Spoolgore-Priority: -2\nTo: a@x\n\n").
		Envelope(arrived)
	is.NoErr(err)
	is.Equal(env.Expire, arrived.Add(36*time.Hour))
	is.Equal(env.NotBefore.UTC(), arrived.Add(2*time.Hour+53*time.Minute+53*time.Second))
	is.Equal(env.Priority, -2)

	env, err = headerOf(t, "To: a@x\nX-Spoolgore-Expire: 1m\n\n").Envelope(arrived)
	is.NoErr(err)
	is.Equal(env, nil) // a field after another one is an ordinary field

	for _, bad := range []string{"Expire: soon", "Expire:", "NotBefore: 2026", "Priority: high", "Expire: -1h"} {
		_, err = headerOf(t, "X-Spoolgore-"+bad+"\nTo: a@x\n\n").Envelope(arrived)
		is.True(err != nil && strings.HasPrefix(err.Error(), "X-Spoolgore-")) // the error names the field
	}
}

func TestParseTime(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"0s": 0, "10m": 10 * time.Minute, "1h30m": 90 * time.Minute, "5d": 120 * time.Hour, "2026-03-04T06:06:07+01:00": 0,
		"2026-03-04t05:06:08z": time.Second, "": -1, "10": -1, "-1h": -1, "-1d": -1, "5 d": -1, "d": -1, "99999999d": -1, "tomorrow": -1,
		"1e9h": -1,
	} {
		t.Run(text, func(t *testing.T) {
			is := is.New(t)
			got, err := ParseTime(text, now)
			is.Equal(err == nil, want >= 0)
			if err == nil {
				is.Equal(got.Sub(now), want)
			}
		})
	}
}

func TestEnvelopeLineIsCanonical(t *testing.T) {
	is := is.New(t)
	line, err := Envelope{From: "f..g@x.", To: []string{"a.@x", "b@x.", "c@x"}, Notify: []string{"NEVER"}}.AppendLine(nil)
	is.NoErr(err)
	env, err := headerOf(t, string(line)).Envelope(time.Time{})
	is.NoErr(err)
	is.Equal(env.From, `"f..g"@x`)
	is.Equal(env.To, []string{`"a."@x`, "b@x", "c@x"})

	h := headerOf(t, `X-Spoolgore-Envelope: {"from":"f@x","to":["a..b@x"],"notify":["NEVER"]}`+"\n\n")
	env, err = h.Envelope(time.Time{})
	is.NoErr(err)
	notify, _ := env.Wishes([]string{h.Addresses().To[0].Addr})
	is.Equal(notify, []string{"NEVER"}) // found by the canonical address
}
