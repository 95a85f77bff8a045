package smarthost

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtptest"
)

func TestNew(t *testing.T) {
	for addr, want := range map[string]string{
		"mail.example.com:25":  "mail.example.com",
		"mail.example.com:465": "mail.example.com",
		"[::1]:25":             "::1",
		"mail.example.com":     "",
		":25":                  "",
		"mail.example.com:":    "",
		"":                     "",
	} {
		t.Run(addr, func(t *testing.T) {
			is := is.New(t)
			r, err := New(addr, nil, smtpclient.Config{})
			is.Equal(err == nil, want != "") // an address without host or port is refused
			if err == nil {
				is.Equal(r.Config.Host, want)                                                     // the name that the certificate must have
				is.Equal(r.Config.TLS == smtpclient.TLSImplicit, strings.HasSuffix(addr, ":465")) // TLS from the first byte on 465 only
			}
		})
	}
}

func TestJudge(t *testing.T) {
	answer := func(op smtpclient.Op, code int) *smtpclient.Error {
		return &smtpclient.Error{Op: op, Reply: smtpclient.Reply{Code: code}}
	}
	lost := func(op smtpclient.Op) *smtpclient.Error { return &smtpclient.Error{Op: op, Err: io.EOF} }
	tests := []struct {
		name      string
		err       *smtpclient.Error
		whom      Blame
		permanent bool
	}{
		{"cannot connect", lost(OpDial), TheRelay, false},
		{"5yz greeting", answer(smtpclient.OpGreeting, 554), TheRelay, false},
		{"5yz to EHLO", answer(smtpclient.OpEHLO, 550), TheRelay, false},
		{"certificate", lost(smtpclient.OpTLS), TheRelay, false},
		{"wrong password", answer(smtpclient.OpAuth, 535), TheRelay, false},
		{"421 to RCPT", answer(smtpclient.OpRcpt, 421), TheRelay, false},
		{"421 to the end of data", answer(smtpclient.OpEnd, 421), TheRelay, false},
		{"login wanted at MAIL", answer(smtpclient.OpMail, 530), TheRelay, false},
		{"login wanted at RCPT", answer(smtpclient.OpRcpt, 538), TheRelay, false},
		{"lost at MAIL", lost(smtpclient.OpMail), TheRelay, false},
		{"lost at RCPT", lost(smtpclient.OpRcpt), Message, false},
		{"lost in the content", lost(smtpclient.OpContent), Message, false},
		{"4yz to MAIL", answer(smtpclient.OpMail, 451), Message, false},
		{"5yz to MAIL", answer(smtpclient.OpMail, 550), Message, true},
		{"4yz to RCPT", answer(smtpclient.OpRcpt, 450), Recipient, false},
		{"5yz to RCPT", answer(smtpclient.OpRcpt, 550), Recipient, true},
		{"5yz to DATA", answer(smtpclient.OpData, 554), Message, true},
		{"4yz to the end of data", answer(smtpclient.OpEnd, 450), Message, false},
		{"too large", lost(smtpclient.OpSize), Message, true},
		{"no SMTPUTF8", lost(smtpclient.OpUTF8), Message, true},
		{"too many recipients", &smtpclient.Error{Op: smtpclient.OpRcpt, NotTried: true}, Nobody, false},
		{"sender no address", &smtpclient.Error{Op: smtpclient.OpMail, Err: smtpclient.ErrAddress}, Message, true},
		{"recipient no address", &smtpclient.Error{Op: smtpclient.OpRcpt, Err: smtpclient.ErrAddress}, Recipient, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			whom, permanent := Judge(tt.err)
			is.Equal(whom, tt.whom)           // whose fault it is
			is.Equal(permanent, tt.permanent) // whether another try is pointless
		})
	}
}

func TestGreetingName(t *testing.T) {
	is := is.New(t)
	for addr, want := range map[string]string{"192.0.2.7": "[192.0.2.7]", "2001:db8::7": "[IPv6:2001:db8::7]"} {
		is.Equal(greetingNameFor("shorthost", &net.TCPAddr{IP: net.ParseIP(addr)}), want) // a literal where the name has no domain
	}
	is.Equal(greetingNameFor("host.example.com", nil), "host.example.com")
	is.Equal(greetingNameFor("shorthost", nil), "localhost") // no address to speak of
}

func TestDeliver(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{}
	r, err := New("relay.test:25", relay.Dial, smtpclient.Config{LocalName: "me.example.com"})
	is.NoErr(err)
	offer := func() []smtpclient.Result {
		return r.Deliver(t.Context(), &smtpclient.Transaction{From: "a@x.org", To: []string{"b@x.org", "c@x.org"}, Content: strings.NewReader("S: x\r\n\r\nx\r\n")})
	}
	for _, res := range offer() {
		is.True(res.Err == nil)
		is.Equal(res.Reply.Code, 250)
	}
	is.Equal(relay.Commands()[0], "EHLO me.example.com")
	is.Equal(relay.Commands()[len(relay.Commands())-1], "QUIT") // it says goodbye
	down := errors.New("no route to host")
	r.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, down }
	for _, res := range offer() {
		is.Equal(res.Err.Op, OpDial)      // one result for each recipient
		is.True(errors.Is(res.Err, down)) // with the cause
	}
}
