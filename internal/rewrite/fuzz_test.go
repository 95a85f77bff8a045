package rewrite

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
)

// FuzzHeader checks for any message that
//   - the size of the message that is sent is exact, however it is read;
//   - every field that names no sender stays as it is, in order, and so does the body;
//   - no field gets a line that is none of its own: each line begins with a blank or ends a field;
//   - with a From of the operator, the From field has that address alone, unless it is signed.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{
		"From: a@b\n\nx", "From: A <a@b>, \"c\nd\" <e@f>\nTo: x@y\n\n", "From: g: a@b;\nFrom: c@d\nReply-To: x@y\n\n",
		"Subject: x\n\n", "", "From: =?utf-8?q?a=3Cb=40c=3E?= <d@e>\n\n", "DKIM-Signature: d=b\nFrom: a@c.b\n\n",
		"From: \x1b$B<@\x1b(B <a@b>\n", "From: \"\\\"@\" <a@b\n c>\r\r\n", "X-Receiver: a@b\nFrom: a\n\n..x",
	} {
		f.Add(seed, "c@d")
	}
	f.Fuzz(func(t *testing.T, text, to string) {
		is := is.New(t)
		h, err := message.ReadHeader(strings.NewReader(text), int64(len(text)))
		if err != nil {
			return
		}
		was := all(h, text)
		for _, s := range []Settings{
			{From: "app@example.com"}, {Senders: []Pair{{"*", "@example.com"}}},
			{From: "app@example.com", Redirect: "qa@example.com", Senders: []Pair{{"@b", "x@example.com"}}},
		} {
			r, err := New(s)
			is.NoErr(err)
			var recipients []string
			if message.CheckAddress(to) == nil {
				recipients = []string{to}
			}
			w := r.Header(h, recipients)
			if w == nil {
				continue
			}
			got, err := io.ReadAll(iotest.OneByteReader(message.Splice(strings.NewReader(was), 0, w.Was, w.Fields)))
			is.NoErr(err)
			is.Equal(int64(len(got)), int64(len(was))+w.Size-w.Was)    // the size is exact
			is.True(strings.HasSuffix(string(got), was[w.Was:]))       // the body is unchanged
			is.Equal(others(w.Fields), others(fieldsOf(h)))            // other fields are unchanged
			for line := range bytes.Lines(bytes.Join(w.Fields, nil)) { // each line belongs to its field
				is.True(bytes.HasSuffix(line, []byte("\r\n")))
			}
			if s.From == "" || w.Signed != "" || len(s.Senders) > 0 {
				continue
			}
			for _, field := range w.Fields {
				if strings.EqualFold(message.FieldName(field), "From") {
					_, old := message.ReplaceAll(field, "x@x")
					is.Equal(old, []string{"app@example.com"})
				}
			}
		}
	})
}

// all returns the message as sent without rules.
func all(h *message.Header, text string) string {
	c := h.Content(strings.NewReader(text), int64(len(text)), message.Added{})
	defer c.Close()
	sent, _ := io.ReadAll(c)
	return string(sent)
}

func fieldsOf(h *message.Header) (fields [][]byte) {
	for _, text := range message.Fields(h) {
		fields = append(fields, text)
	}
	return fields
}

// others returns the fields without a sender.
func others(fields [][]byte) (text string) {
	for _, field := range fields {
		name := message.FieldName(field)
		if !isSender(name) && !strings.EqualFold(name, "X-Original-To") {
			text += string(field)
		}
	}
	return text
}
