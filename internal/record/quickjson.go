package record

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// quickJSON reads JSON values of a known form.
type quickJSON struct {
	text  []byte
	at    int
	other bool // the text has another form
}

// object decodes an object. field decodes the value of one key and returns the number of the field, below 32; negative:
// there is no such field. A field that occurs twice is another form.
func (d *quickJSON) object(field func(key []byte) int) {
	d.expect('{')
	if d.next('}') {
		return
	}
	for seen := uint32(0); !d.other; {
		key := d.quoted()
		d.expect(':')
		d.space()
		if d.other {
			return
		}
		n := field(key)
		if n < 0 || seen&(1<<n) != 0 {
			d.other = true
			return
		}
		seen |= 1 << n
		if d.next('}') {
			return
		}
		d.expect(',')
	}
}

// list decodes an array. element decodes one element.
func (d *quickJSON) list(element func()) {
	d.expect('[')
	if d.next(']') {
		return
	}
	for !d.other {
		d.space()
		element()
		if d.next(']') {
			return
		}
		d.expect(',')
	}
}

func (d *quickJSON) strings() []string {
	all := []string{}
	d.list(func() { all = append(all, d.string()) })
	return all
}

func (d *quickJSON) space() {
	for d.at < len(d.text) && isSpace(d.text[d.at]) {
		d.at++
	}
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

// next skips spaces and then the byte c; false: another byte follows.
func (d *quickJSON) next(c byte) bool {
	d.space()
	if d.at < len(d.text) && d.text[d.at] == c {
		d.at++
		return true
	}
	return false
}

// expect is next for a byte that must follow.
func (d *quickJSON) expect(c byte) {
	if !d.next(c) {
		d.other = true
	}
}

// quoted returns the content of a string without escapes.
func (d *quickJSON) quoted() []byte {
	d.space()
	if d.at >= len(d.text) || d.text[d.at] != '"' {
		d.other = true
		return nil
	}
	end := bytes.IndexByte(d.text[d.at+1:], '"')
	if end < 0 {
		d.other = true
		return nil
	}
	content := d.text[d.at+1 : d.at+1+end]
	d.at += end + 2
	ascii := true
	for _, c := range content {
		if c == '\\' || c < ' ' {
			d.other = true
			return nil
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if !ascii && !utf8.Valid(content) {
		d.other = true
	}
	return content
}

// escaped decodes the string at the present position if the string has an escape.
func (d *quickJSON) escaped() (text string, ok bool) {
	rest := d.text[min(d.at+1, len(d.text)):]
	if end := bytes.IndexByte(rest, '"'); end < 0 || bytes.IndexByte(rest[:end], '\\') < 0 {
		return "", false
	}
	s := scanner{text: d.text, at: d.at}
	if !s.quoted() {
		return "", false
	}
	var decoded string // apart from text, which would take memory at every call
	if json.Unmarshal(d.text[d.at:s.at], &decoded) != nil {
		d.other = true
	}
	d.at = s.at
	return decoded, true
}

func (d *quickJSON) string() string {
	if text, ok := d.escaped(); ok {
		return text
	}
	return string(d.quoted())
}

// time decodes a time, and returns field.
func (d *quickJSON) time(to *time.Time, field int) int {
	start := d.at
	if d.quoted(); !d.other && to.UnmarshalJSON(d.text[start:d.at]) != nil {
		d.other = true
	}
	return field
}

// bool decodes true or false, and returns field.
func (d *quickJSON) bool(to *bool, field int) int {
	rest := d.text[d.at:]
	switch {
	case bytes.HasPrefix(rest, []byte("true")):
		*to = true
		d.at += len("true")
	case bytes.HasPrefix(rest, []byte("false")):
		d.at += len("false")
	default:
		d.other = true
	}
	return field
}

func (d *quickJSON) int() int64 {
	n, err := strconv.ParseInt(string(d.number()), 10, 64)
	d.other = d.other || err != nil
	return n
}

func (d *quickJSON) uint() uint64 {
	n, err := strconv.ParseUint(string(d.number()), 10, 64)
	d.other = d.other || err != nil
	return n
}

// number returns a whole number without unneeded zeros.
func (d *quickJSON) number() []byte {
	start := d.at
	for d.at < len(d.text) && (d.text[d.at] == '-' || '0' <= d.text[d.at] && d.text[d.at] <= '9') {
		d.at++
	}
	digits := bytes.TrimPrefix(d.text[start:d.at], []byte("-"))
	if len(digits) == 0 || digits[0] == '0' && d.at-start > 1 {
		d.other = true
	}
	return d.text[start:d.at]
}
