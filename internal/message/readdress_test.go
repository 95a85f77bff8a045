package message

import (
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// Readdress changes the recipients and keeps sender, parameters, header and body.
func TestReaddress(t *testing.T) {
	const rest = "From: Ann <ann@x.org>\nTo: b@x.org\nBcc: c@x.org\nSubject: s\n\n..body\n"
	for name, row := range map[string]struct{ file, want string }{
		"header":        {rest, `X-Spoolgore-Envelope: {"from":"ann@x.org","to":["new@y.org"]}` + "\n"},
		"mbox line":     {"From ann Mon\n" + rest, `X-Spoolgore-Envelope: {"from":"ann@x.org","to":["new@y.org"]}` + "\n"},
		"null sender":   {"Return-Path: <>\n" + rest, `X-Spoolgore-Envelope: {"from":"","to":["new@y.org"]}` + "\nReturn-Path: <>\n"},
		"envelope line": {`X-Spoolgore-Envelope: {"from":"e@x.org","to":["b@x.org"],"notify":["NEVER"],"priority":3}` + "\n" + rest, `X-Spoolgore-Envelope: {"from":"e@x.org","to":["new@y.org"],"notify":[""],"priority":3}` + "\n"},
		"ids":           {`X-Spoolgore-Envelope: {"from":"e@x.org","to":["b@x.org"],"id":"order 1","uid":"1000"}` + "\n" + rest, `X-Spoolgore-Envelope: {"from":"e@x.org","to":["new@y.org"],"id":"order 1","uid":"1000"}` + "\n"},
		"pickup file":   {"X-Sender: e@x.org\nX-Receiver: b@x.org NOTIFY=NEVER\nX-Receiver: c@x.org\n" + rest, "X-Sender: <e@x.org>\r\nX-Receiver: <new@y.org>\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			h, err := ReadHeader(strings.NewReader(row.file), int64(len(row.file)))
			is.NoErr(err)
			front, err := Readdress(h, []string{"new@y.org"}, time.Now())
			is.NoErr(err)
			got := string(front) + row.file[h.Start():]
			is.Equal(got, row.want+rest)
			again, err := ReadHeader(strings.NewReader(got), int64(len(got)))
			is.NoErr(err)
			a := again.Addresses()
			is.Equal(a.To, []Address{{Addr: "new@y.org"}})
			is.Equal(len(a.Cc)+len(a.Bcc), 0)
			is.Equal(a.From, h.Addresses().From)
			is.Equal(again.FromPickup(), h.FromPickup())
		})
	}
	is := is.New(t)
	h, err := ReadHeader(strings.NewReader("To: b@x.org\n\nx"), 14)
	is.NoErr(err)
	_, err = Readdress(h, []string{"new@y.org"}, time.Now())
	is.True(err != nil) // no sender
	h, err = ReadHeader(strings.NewReader(rest), int64(len(rest)))
	is.NoErr(err)
	for _, to := range [][]string{nil, {"no address"}} {
		_, err = Readdress(h, to, time.Now())
		is.True(err != nil)
	}
}
