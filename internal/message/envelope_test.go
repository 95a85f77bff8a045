package message

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

func TestEnvelopeLineRoundTrip(t *testing.T) {
	is := is.New(t)
	want := Envelope{
		From: "f@x.org", To: []string{`"a b"@x.org`, "ü@x.org", "=?utf-8?Q?a?=@x.org"},
		Ret: "HDRS", EnvID: "id 1+2=3", Notify: []string{"NEVER", "", "SUCCESS,FAILURE,DELAY"},
		ORcpt: []string{"", "rfc822;o@x.org"}, Priority: -3,
		NotBefore: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Expire: time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	line, err := want.AppendLine([]byte("before"))
	is.NoErr(err)
	text, ok := strings.CutPrefix(string(line), "before")
	is.True(ok)                                                       // it appends
	is.True(strings.HasPrefix(text, `X-Spoolgore-Envelope: {"from"`)) // the documented form
	is.Equal(strings.Index(text, "\n"), len(text)-1)                  // one line

	got, err := headerOf(t, text+"Subject: x\n\n").Envelope(time.Time{})
	is.NoErr(err)
	is.Equal(*got, want) // every field is read back
}

func TestEnvelopeLineIsMinimal(t *testing.T) {
	is := is.New(t)
	line, err := Envelope{To: []string{"a@x"}}.AppendLine(nil)
	is.NoErr(err)
	is.Equal(string(line), `X-Spoolgore-Envelope: {"from":"","to":["a@x"]}`+"\n") // empty fields are left out
}

func TestAppendLineRefuses(t *testing.T) {
	to := []string{"a@x"}
	for name, e := range map[string]Envelope{
		"no recipient":             {From: "f@x"},
		"empty recipient":          {To: []string{""}},
		"bare recipient":           {To: []string{"a@x", "root"}},
		"line end in recipient":    {To: []string{"a\r\n@x"}},
		"broken recipient":         {To: []string{"a\xff@x"}},
		"line end in sender":       {From: "f@x\n", To: to},
		"angles in sender":         {From: "<f@x>", To: to},
		"ret":                      {To: to, Ret: "full"},
		"envid with line end":      {To: to, EnvID: "a\nb"},
		"envid not ASCII":          {To: to, EnvID: "ü"},
		"envid too long":           {To: to, EnvID: strings.Repeat("x", 101)},
		"notify":                   {To: to, Notify: []string{"SOMETIMES"}},
		"notify with NEVER":        {To: to, Notify: []string{"NEVER,DELAY"}},
		"notify twice":             {To: to, Notify: []string{"DELAY,DELAY"}},
		"notify with blank":        {To: to, Notify: []string{"DELAY, SUCCESS"}},
		"notify open":              {To: to, Notify: []string{"DELAY,"}},
		"more notify than to":      {To: to, Notify: []string{"", ""}},
		"more orcpt than to":       {To: to, ORcpt: []string{"", ""}},
		"orcpt without type":       {To: to, ORcpt: []string{"a@x"}},
		"orcpt without address":    {To: to, ORcpt: []string{"rfc822;"}},
		"orcpt with bad type":      {To: to, ORcpt: []string{"rfc 822;a@x"}},
		"orcpt with line end":      {To: to, ORcpt: []string{"rfc822;a@x\r\n"}},
		"orcpt too long":           {To: to, ORcpt: []string{"rfc822;" + strings.Repeat("x", 500)}},
		"time without a JSON form": {To: to, Expire: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			b, err := e.AppendLine([]byte("x"))
			is.True(err != nil)      // refused
			is.Equal(string(b), "x") // no text is appended
		})
	}
}

func TestAppendLineLimit(t *testing.T) {
	is := is.New(t)
	var e Envelope
	for i := range 10_000 {
		e.To = append(e.To, fmt.Sprintf("recipient%d@example.org", i))
	}
	line, err := e.AppendLine(nil)
	is.NoErr(err) // 10,000 recipients fit
	a := headerOf(t, string(line)).Addresses()
	is.Equal(len(a.To), 10_000) // all recipients are read

	for len(e.To) < 50_000 {
		e.To = append(e.To, e.To[:10_000]...)
	}
	_, err = e.AppendLine(nil)
	is.True(errors.Is(err, ErrHeaderTooLong)) // 1 MiB does not
}

func TestEnvelopeLine(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		to         int // -1: an error; 0: no envelope
	}{
		{"none", "Subject: x", 0},
		{"plain", `X-Spoolgore-Envelope: {"from":"f@x","to":["a@x"]}`, 1},
		{"spacing", "X-Spoolgore-Envelope:\t{ \"from\" : \"f@x\",\r \"to\" : [\"a@x\"] } \t", 1},
		{"unknown member", `X-Spoolgore-Envelope: {"to":["a@x","b@x"],"color":"red"}`, 2},
		{"bad address is not its business", `X-Spoolgore-Envelope: {"to":["root"]}`, 1},
		{"nothing", "X-Spoolgore-Envelope:", -1},
		{"null", "X-Spoolgore-Envelope: null", -1},
		{"list", `X-Spoolgore-Envelope: ["a@x"]`, -1},
		{"cut", `X-Spoolgore-Envelope: {"to":["a@x"`, -1},
		{"trailing junk", `X-Spoolgore-Envelope: {"to":["a@x"]} x`, -1},
		{"two objects", `X-Spoolgore-Envelope: {"to":["a@x"]}{}`, -1},
		{"wrong type", `X-Spoolgore-Envelope: {"to":"a@x"}`, -1},
		{"wrong time", `X-Spoolgore-Envelope: {"to":["a@x"],"expire":"tomorrow"}`, -1},
		{"notify with line end", `X-Spoolgore-Envelope: {"to":["a@x"],"notify":["NEVER\r\nRCPT"]}`, -1},
		{"ret with parameter", `X-Spoolgore-Envelope: {"to":["a@x"],"ret":"FULL X"}`, -1},
		{"BOM inside", "X-Spoolgore-Envelope: " + bom + "{}", -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			env, err := headerOf(t, tt.line+"\nTo: h@x\n\n").Envelope(time.Time{})
			switch {
			case tt.to < 0:
				is.True(err != nil) // an error
				is.True(env == nil) // and no envelope
			case tt.to == 0:
				is.NoErr(err)
				is.True(env == nil) // no envelope line
			default:
				is.NoErr(err)
				is.Equal(len(env.To), tt.to) // recipients
			}
		})
	}
}

func TestNotifyBelongsToItsRecipient(t *testing.T) {
	is := is.New(t)
	env := Envelope{To: []string{"a@x", "b@x", "a@x", "c@x"}, Notify: []string{"NEVER", "FAILURE", "DELAY"}}
	notify, orcpt := env.Wishes([]string{"c@x", "b@x", "a@x", "d@x"})
	// each recipient has its own, and the first of two duplicates counts
	is.Equal(notify, []string{"", "FAILURE", "NEVER", ""})
	is.Equal(orcpt, nil) // without a wish there is no list
}
