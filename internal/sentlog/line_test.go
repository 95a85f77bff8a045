package sentlog

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/matryer/is"
)

// encoded returns e as encoding/json writes it.
func encoded(t *testing.T, e *Entry) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// full returns an entry with all fields set, the strings to text.
func full(text string) *Entry {
	e := new(Entry)
	v := reflect.ValueOf(e).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); {
		case f.Kind() == reflect.String:
			f.SetString(text)
		case f.CanInt():
			f.SetInt(-42)
		default:
			f.Set(reflect.ValueOf(time.Date(2024, 2, 3, 4, 5, 6, 789, time.FixedZone("", -5400))))
		}
	}
	return e
}

func TestALineIsTheJSONOfItsEntry(t *testing.T) {
	is := is.New(t)
	texts := []string{
		"", "r0@x.org", "250 2.0.0 Ok: queued as <4&5>", `a"b\c`, "tab\tand\nline", "é…", "\u2028\u2029", "bad\xff",
		"\x00\x1f\x7f", "~ }{:,",
	}
	for _, text := range texts {
		e := full(text)
		line, err := e.appendLine(nil)
		is.NoErr(err)
		is.Equal(string(line), encoded(t, e)) // all fields in order
	}
	line, err := new(Entry).appendLine([]byte("before\n"))
	is.NoErr(err)
	is.Equal(string(line), "before\n"+encoded(t, new(Entry))) // empty fields are left out
	_, err = (&Entry{Time: time.Date(12345, 1, 1, 0, 0, 0, 0, time.UTC)}).appendLine(nil)
	is.True(err != nil) // JSON cannot hold such a time
}

func TestALineTakesNoMemory(t *testing.T) {
	is := is.New(t)
	e, line := full("250 2.0.0 Ok <1>"), make([]byte, 0, 4<<10)
	is.Equal(testing.AllocsPerRun(100, func() { line, _ = e.appendLine(line[:0]) }), 0.0)
}
