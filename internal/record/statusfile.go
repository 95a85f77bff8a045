package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"unicode/utf8"
)

// RawName returns name if name is not valid UTF-8, which JSON cannot hold; otherwise nil.
func RawName(name string) []byte {
	if utf8.ValidString(name) {
		return nil
	}
	return []byte(name)
}

// FileName returns the name of the file that the entry key of the status file is about; m is the value of the entry.
func FileName(key string, m *Message) string {
	if len(m.RawName) > 0 {
		return string(m.RawName)
	}
	return filepath.Base(key)
}

// StatusKey returns the key of the message file at the absolute path: the path, quoted where it is not valid UTF-8.
func StatusKey(path string) string {
	if utf8.ValidString(path) {
		return path
	}
	quoted := strconv.Quote(path)
	return quoted[1 : len(quoted)-1]
}

// A StatusEncoder writes a status file: a JSON object with one message on each line or, indented, for people.
type StatusEncoder struct {
	w     io.Writer
	line  *bytes.Buffer
	json  *json.Encoder
	quick *quickWriter // nil: the file is indented
	start string       // between the messages
	begun bool
}

// indented is the number of messages up to which a status file is indented. A larger file is decoded in parallel, line
// by line.
const indented = 999

// NewStatusEncoder returns an encoder that writes a status file with so many messages to w.
func NewStatusEncoder(w io.Writer, messages int) *StatusEncoder {
	line := bytes.NewBufferString("{")
	e := &StatusEncoder{w: w, line: line, json: json.NewEncoder(line), start: "\n"}
	e.json.SetEscapeHTML(false)
	if messages > indented {
		e.quick = new(quickWriter)
		return e
	}
	e.json.SetIndent("\t", "\t")
	e.start = "\n\t"
	return e
}

// Add writes the message m, whose file is at the absolute path.
func (e *StatusEncoder) Add(path string, m *Message) error {
	if e.begun {
		e.line.WriteByte(',')
	}
	e.begun = true
	e.line.WriteString(e.start)
	if err := e.json.Encode(StatusKey(path)); err != nil {
		return err
	}
	e.line.Truncate(e.line.Len() - 1) // the line end that Encode adds
	e.line.WriteString(": ")
	if err := e.value(m); err != nil {
		return err
	}
	_, err := e.line.WriteTo(e.w)
	return err
}

// value writes the message m.
func (e *StatusEncoder) value(m *Message) error {
	if e.quick != nil {
		if text, ok := e.quick.write(e.line.AvailableBuffer(), m); ok {
			e.line.Write(text)
			return nil
		}
	}
	if err := e.json.Encode(m); err != nil {
		return err
	}
	e.line.Truncate(e.line.Len() - 1) // the line end that Encode adds
	return nil
}

// Close writes the end of the file. Close does not close the writer.
func (e *StatusEncoder) Close() error {
	e.line.WriteString("\n}\n")
	_, err := e.line.WriteTo(e.w)
	return err
}

// DecodeStatus reads the status file of a daemon that has ended and calls each for every message in it, until each
// returns an error. A recipient that was in progress waits again. After an error of the file itself, which names the
// line, no message that each was called for is to be believed. The message is valid until each returns; a copy of the
// struct stays valid.
func DecodeStatus(r io.ReadSeeker, each func(key string, m *Message) error) error {
	return DecodeLiveStatus(r, func(key string, m *Message) error {
		restart(m)
		return each(key, m)
	})
}

// DecodeLiveStatus reads the status file of a running daemon as DecodeStatus does, but without changes to messages: a
// recipient in progress stays in progress.
func DecodeLiveStatus(r io.ReadSeeker, each func(key string, m *Message) error) error {
	return decodeBounded(r, maxEntry, each)
}

// decodeBounded is DecodeLiveStatus with another limit for an entry than maxEntry.
func decodeBounded(r io.ReadSeeker, limit int, each func(key string, m *Message) error) error {
	n, err := decodeParallel(r, limit, each)
	if !errors.Is(err, errIrregular) {
		return err
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return decodeSlowly(r, limit, func(key string, m *Message) error {
		if n--; n >= 0 {
			return nil // each has got this message
		}
		return each(key, m)
	})
}

// decodeSlowly reads a status file of any form. Errors name the line.
func decodeSlowly(r io.ReadSeeker, limit int, each func(key string, m *Message) error) error {
	in := &boundedReader{r: bufio.NewReaderSize(r, 64<<10), limit: int64(limit)}
	d := json.NewDecoder(in)
	in.used = d.InputOffset
	var stopped error
	err := decodeStatus(d, func(key string, m *Message) error {
		stopped = each(key, m)
		return stopped
	})
	if err == nil || stopped != nil {
		return err
	}
	return atLine(r, limit, d.InputOffset(), err)
}

func decodeStatus(d *json.Decoder, each func(key string, m *Message) error) error {
	switch first, err := d.Token(); {
	case err != nil:
		return err
	case first == nil: // the file says null
		return expectEnd(d)
	case first != json.Delim('{'):
		return errors.New("it is not an object of messages by file name")
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		var m Message
		if err := d.Decode(&m); err != nil {
			return err
		}
		if err := checkStates(&m); err != nil {
			return err
		}
		if err := each(key.(string), &m); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return err
	}
	return expectEnd(d)
}

func expectEnd(d *json.Decoder) error {
	if _, err := d.Token(); err != io.EOF {
		return errors.New("text follows the end of the object")
	}
	return nil
}

// checkStates returns an error for an invalid message of a status file.
func checkStates(m *Message) error {
	for _, list := range lists(m) {
		for i := range list {
			if r := &list[i]; r.Status < Waiting || r.Status > Done {
				return fmt.Errorf("recipient %q has status %d, not 0, 1 or 2", r.Address, r.Status)
			}
		}
	}
	return nil
}

// restart makes recipients that were in progress wait again, and clears the marks of a failure of all that wait.
func restart(m *Message) {
	for _, list := range lists(m) {
		for i := range list {
			r := &list[i]
			if r.Status == InProgress {
				r.Status = Waiting
			}
			if r.Status != Done {
				r.GivenUp, r.Told = false, false // made to wait again by hand
			}
		}
	}
}

// maxEntry is the limit for an entry of a status file in octets, with the text around. An entry with MostRecipients
// has up to 63 MB. A file of zeros, or of blanks, has an entry without an end.
const maxEntry = 64 << 20

// errEntryTooLong is in the error of a status file with an entry that is too long.
var errEntryTooLong = errors.New("entry without an end")

// boundedReader is the input of a JSON decoder, which keeps a value in memory until its end. Read fails if the decoder
// keeps more than limit octets.
type boundedReader struct {
	r     io.Reader
	limit int64
	used  func() int64 // octets that the decoder needs no more
	read  int64
}

// Read implements io.Reader.
func (b *boundedReader) Read(p []byte) (int, error) {
	if b.read-b.used() > b.limit {
		return 0, fmt.Errorf("%w: more than %d octets", errEntryTooLong, b.limit)
	}
	n, err := b.r.Read(p)
	b.read += int64(n)
	return n, err
}

// atLine adds the line number to an error of encoding/json, which has a byte offset at most. The line is found in the
// first octets up to limit.
func atLine(r io.ReadSeeker, limit int, offset int64, err error) error {
	if _, seekErr := r.Seek(0, io.SeekStart); seekErr != nil {
		return err
	}
	text, readErr := io.ReadAll(io.LimitReader(r, int64(limit)))
	if readErr != nil {
		return err
	}
	if offset > int64(len(text)) || errors.Is(err, errEntryTooLong) {
		return fmt.Errorf("after octet %d: %w", offset, err)
	}
	if syntax := new(json.SyntaxError); errors.As(json.Unmarshal(text, new(json.RawMessage)), &syntax) {
		offset = syntax.Offset // the offset of a Decoder does not include the text between values
	}
	return fmt.Errorf("line %d: %w", 1+bytes.Count(text[:min(offset, int64(len(text)))], []byte("\n")), err)
}
