package smtptest

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"
)

// talk writes the whole of in at once, as a client with PIPELINING does, and returns everything the relay sends.
func talk(t *testing.T, r *Relay, in string) string {
	t.Helper()
	conn, err := r.Dial(t.Context(), "tcp", "relay.test:25")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	go func() { _, _ = io.WriteString(conn, in) }()
	out, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func codes(text string) string {
	var list []string
	for line := range strings.Lines(text) {
		list = append(list, line[:3])
	}
	return strings.Join(list, " ")
}

func TestRelayTakesAMessage(t *testing.T) {
	is := is.New(t)
	r := &Relay{}
	out := talk(t, r, "EHLO me\r\nMAIL FROM:<a@x> SIZE=9\r\nRCPT TO:<\">\"@y> NOTIFY=NEVER\r\nRCPT TO:<c@y>\r\n"+
		"DATA\r\n..one\r\n.\n.\r\r\n\n.\r\n.\r\nQUIT\r\n")
	is.Equal(codes(out), "220 250 250 250 250 250 250 354 250 221") // every command is answered in order
	is.Equal(len(r.Messages()), 1)                                  // one message is recorded
	m := r.Messages()[0]
	is.Equal(m.From, "a@x")                              // the sender without brackets
	is.Equal(m.To, []string{"\">\"@y", "c@y"})           // a quoted > does not end an address
	is.Equal(m.MailParams, []string{"SIZE=9"})           // parameters of MAIL are kept
	is.Equal(m.RcptParams, []string{"NOTIFY=NEVER", ""}) // parameters of RCPT are kept for each
	// only CRLF.CRLF ends the data, and only after CRLF a dot is removed
	is.Equal(string(m.Data), ".one\r\n\n.\r\r\n\n.\r\n")
	is.True(m.BareLF && m.BareCR)  // bare CR and LF are recorded
	is.Equal(len(r.Commands()), 6) // content is not recorded as a command
	is.Equal(r.Connections(), 1)   // connections are counted
}

func TestRelayIsStrict(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"no hello", "MAIL FROM:<>\r\nQUIT\r\n", "220 503 221"},
		{"no sender", "HELO me\r\nRCPT TO:<a@x>\r\nDATA\r\nQUIT\r\n", "220 250 503 503 221"},
		{"second sender", "HELO me\r\nMAIL FROM:<>\r\nMAIL FROM:<>\r\nRSET\r\nMAIL FROM:<>\r\nQUIT\r\n", "220 250 250 503 250 250 221"},
		{"bad paths", "HELO me\r\nMAIL FROM: a@x\r\nMAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:<a\r\nQUIT\r\n", "220 250 501 250 501 501 221"},
		{"unknown", "WHAT\r\nLHLO me\r\nQUIT\r\n", "220 500 500 221"},
		{"chunk without sender", "HELO me\r\nBDAT 5 LAST\r\nNOOP\nNOOP\r\nBDAT x\r\nQUIT\r\n", "220 250 503 250 501 221"},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			r := &Relay{}
			is.Equal(codes(talk(t, r, test.in)), test.want) // the order of commands is enforced
			is.Equal(len(r.Messages()), 0)                  // no message is accepted
		})
	}
}

func TestRelayTakesChunks(t *testing.T) {
	is := is.New(t)
	r := &Relay{Ext: []string{"CHUNKING"}}
	talk(t, r, "EHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@x>\r\nBDAT 4\r\n.a\r\nBDAT 3 LAST\r\n.\r\nQUIT\r\n")
	is.Equal(len(r.Messages()), 1)                        // the last chunk ends the message
	is.Equal(string(r.Messages()[0].Data), ".a\r\n.\r\n") // dots are kept in a chunk
}

func TestRelaySpeaksLMTP(t *testing.T) {
	is := is.New(t)
	r := &Relay{LMTP: true, Reply: func(verb, arg string) string {
		if verb == "END" && arg == "b@x" {
			return "452 4.2.2 full"
		}
		return ""
	}}
	out := talk(t, r, "LHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@x>\r\nRCPT TO:<b@x>\r\nRCPT TO:<c@x>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
	is.Equal(codes(out), "220 250 250 250 250 250 250 250 354 250 452 250 221") // one reply for each recipient
	is.Equal(r.Messages()[0].To, []string{"a@x", "c@x"})                        // the accepted recipients
}

func TestRelayFollowsTheScript(t *testing.T) {
	for _, test := range []struct{ name, verb, answer, want string }{
		{"answer", "MAIL", "451 4.3.0 later", "220 250 451 503 503 500 500 221"},
		{"close", "RCPT", "close", "220 250 250"},
		{"answer and close", "RCPT", "421 bye|close", "220 250 250 421"},
		{"close at the end of data", "END", "close", "220 250 250 250 354"},
		{"several lines", "EHLO", "250-a\r\n250-b\r\n250 c", "220 250 250 250 250 250 354 250 221"},
		{"drip", "CONNECT", "220 slow|drip", "220 250 250 250 354 250 221"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				r := &Relay{Ext: []string{}, Reply: func(verb, _ string) string {
					if verb == test.verb {
						return test.answer
					}
					return ""
				}}
				out := talk(t, r, "EHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@x>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n")
				is.Equal(codes(out), test.want) // the script is followed
			})
		})
	}
}

func TestRelayThatStallsEndsWithItsClient(t *testing.T) {
	for _, then := range []string{"hang", "stall"} {
		synctest.Test(t, func(t *testing.T) { // the bubble fails if a goroutine is left
			is := is.New(t)
			r := &Relay{Reply: func(verb, _ string) string {
				if verb == "CONNECT" {
					return then
				}
				return ""
			}}
			conn, err := r.Dial(t.Context(), "tcp", "127.0.0.1:25")
			is.NoErr(err)                                           // a dial succeeds
			is.Equal(conn.RemoteAddr().String(), "127.0.0.1:25")    // with the address that was dialed
			is.NoErr(conn.SetDeadline(time.Now().Add(time.Minute))) // deadlines work
			_, err = conn.Read(make([]byte, 1))
			is.True(err.(net.Error).Timeout()) // no data arrives
			is.NoErr(conn.Close())             // the relay ends with its client
		})
	}
}

func TestRelayRefusesADial(t *testing.T) {
	is := is.New(t)
	r := &Relay{Reply: func(_, _ string) string { return "connection refused" }}
	_, err := r.Dial(t.Context(), "tcp", "relay.test:25")
	is.True(err != nil && strings.Contains(err.Error(), "connection refused")) // the error of the script
	is.Equal(r.Connections(), 0)                                               // no connection was counted
}

func TestRelayStartsTLS(t *testing.T) {
	is := is.New(t)
	cert, pool := Certificate(t, "relay.test", "127.0.0.1")
	r := &Relay{Ext: []string{"STARTTLS"}, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	conn, err := net.Dial("tcp", r.Listen(t))
	is.NoErr(err) // it listens
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "EHLO me\r\nSTARTTLS\r\n")
	in := bufio.NewReader(conn)
	for _, want := range []string{"220 ", "250-", "250 STARTTLS", "220 "} {
		line, err := in.ReadString('\n')
		is.NoErr(err)                          // it answers
		is.True(strings.HasPrefix(line, want)) // with the expected line
	}
	client := tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1"})
	_, err = io.WriteString(client, "EHLO me\r\nMAIL FROM:<>\r\nRCPT TO:<a@x>\r\nDATA\r\n.\r\nQUIT\r\n")
	is.NoErr(err) // the certificate is valid
	out, err := io.ReadAll(client)
	is.NoErr(err)                                           // the session ends normally
	is.Equal(codes(string(out)), "250 250 250 354 250 221") // STARTTLS is not offered again
	is.True(r.Messages()[0].TLS)                            // the message was sent over TLS
}

func TestRelayKnowsItsUsers(t *testing.T) {
	for _, test := range []struct{ name, in, want string }{
		{"plain", "AUTH PLAIN AGFubgBzZWNyZXQ=\r\n", "235"},
		{"plain without initial response", "AUTH PLAIN\r\nAGFubgBzZWNyZXQ=\r\n", "334 235"},
		{"wrong", "AUTH PLAIN AGFubgBzZWNyZXR0\r\n", "535"},
		{"login", "AUTH LOGIN\r\nYW5u\r\nc2VjcmV0\r\n", "334 334 235"},
		{"cram-md5 of another", "AUTH CRAM-MD5\r\nYW5uIDEyMw==\r\n", "334 535"},
		{"cancelled", "AUTH CRAM-MD5\r\n*\r\n", "334 501"},
		{"unknown", "AUTH X\r\n", "504"},
	} {
		t.Run(test.name, func(t *testing.T) {
			is := is.New(t)
			r := &Relay{Ext: []string{}, Users: map[string]string{"ann": "secret"}}
			out := talk(t, r, "EHLO me\r\n"+test.in+"QUIT\r\n")
			is.Equal(codes(out), "220 250 "+test.want+" 221") // the expected reply
		})
	}
}
