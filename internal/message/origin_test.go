package message

import (
	"testing"

	"github.com/matryer/is"
)

func TestOrigin(t *testing.T) {
	plain := Origin{"From", "To", "Cc", "Bcc"}
	for name, c := range map[string]struct {
		header string
		want   Origin
	}{
		"header":           {"From: a@x\nTo: b@x\n", plain},
		"sender":           {"From: a@x\nSender: s@x\nTo: b@x\n", Origin{"Sender", "To", "Cc", "Bcc"}},
		"empty sender":     {"Sender:\nFrom: a@x\nTo: b@x\n", plain},
		"null sender":      {"Return-Path: <>\nFrom: a@x\nTo: b@x\n", Origin{"Return-Path", "To", "Cc", "Bcc"}},
		"resent":           {"From: a@x\nResent-From: r@x\nResent-Bcc: b@x\n", Origin{"Resent-From", "Resent-To", "Resent-Cc", "Resent-Bcc"}},
		"resent by nobody": {"From: a@x\nResent-From: r@x\nTo: b@x\n", plain},
		"nobody":           {"To: b@x\n", Origin{"", "To", "Cc", "Bcc"}},
		"envelope line":    {`X-Spoolgore-Envelope: {"to":["b@x"]}` + "\nFrom: a@x\n", Origin{EnvelopeLine, EnvelopeLine, EnvelopeLine, EnvelopeLine}},
		"broken line":      {"X-Spoolgore-Envelope: {\nFrom: a@x\n", Origin{EnvelopeLine, EnvelopeLine, EnvelopeLine, EnvelopeLine}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(headerOf(t, c.header+"\nbody\n").Origin(), c.want) // where the addresses were read
		})
	}
}

func TestFieldsThatAreNotSentAreKnown(t *testing.T) {
	is := is.New(t)
	front := bom + `X-Spoolgore-Envelope: {"to":["b@x"]}` + "\nFrom me Mon\n"
	h := headerOf(t, front+"From: a@x\nBcc: c@x,\n d@x\nReturn-Path: <e@x>\nResent-bcc : f@x\nTo: b@x\n\nbody\n")
	is.Equal(h.Start(), int64(len(front))) // the length of the text before the header
	is.Equal(h.LeftOut(), []string{"Bcc: c@x,\r\n d@x\r\n", "Return-Path: <e@x>\r\n", "Resent-bcc : f@x\r\n"})

	h = headerOf(t, "To: b@x\n\n")
	is.Equal(h.Start(), int64(0)) // no text before the header
	is.Equal(len(h.LeftOut()), 0) // no field is left out
	is.Equal(len(h.Front(Added{})), 0)
}
