package dsn

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jhillyerd/enmime/v2"
	"github.com/jhillyerd/enmime/v2/dsn"
	"github.com/matryer/is"
)

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	plain = "From: a@example.com\r\nTo: b@example.org\r\nSubject: hello\r\nMessage-ID: <1@example.com>\r\n\r\nthe body\r\n"
)

// from returns an Original.
func from(text string) func() io.Reader {
	return func() io.Reader { return strings.NewReader(text) }
}

// refusal returns a report about one refused recipient.
func refusal() *Report {
	return &Report{
		Host: "host.example.com", To: "a@example.com", Date: noon, Arrival: noon.Add(-time.Hour), Original: from(plain), Kept: "failed/one.eml",
		Recipients: []Recipient{{
			Address: "b@example.org", Action: Failed, Relay: "relay.example.com:25", Reply: "550 5.1.1 no such user", Attempts: 1, Last: noon,
		}},
	}
}

// compose returns the report as text, its header, and its parts as read by the standard library.
func compose(t *testing.T, r *Report) (text string, header mail.Header, parts []*piece) {
	t.Helper()
	var b bytes.Buffer
	if err := Compose(&b, r); err != nil {
		t.Fatal("compose:", err)
	}
	m, err := mail.ReadMessage(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatal("read as a message:", err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" {
		t.Fatal("Content-Type", kind, err)
	}
	for mr := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := mr.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal("read parts:", err)
		}
		body, err := io.ReadAll(p)
		if err != nil {
			t.Fatal("read part:", err)
		}
		parts = append(parts, &piece{p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), string(body)})
	}
	if len(parts) != 3 {
		t.Fatalf("%d parts, want 3:\n%s", len(parts), b.String())
	}
	return b.String(), m.Header, parts
}

// piece is one of the three parts of a report.
type piece struct{ kind, encoding, body string }

// parse returns the report as read by enmime.
func parse(t *testing.T, text string) *dsn.Report {
	t.Helper()
	env, err := enmime.ReadEnvelope(strings.NewReader(text))
	if err != nil {
		t.Fatal("enmime:", err)
	}
	rep, err := dsn.ParseReport(env.Root)
	if err != nil || rep == nil {
		t.Fatalf("enmime finds no report (%v) in\n%s", err, text)
	}
	if len(rep.DeliveryStatus.MessageDSNs) != 1 {
		t.Fatalf("%d groups of fields for the message, want 1", len(rep.DeliveryStatus.MessageDSNs))
	}
	return rep
}

func TestARefusalIsReported(t *testing.T) {
	is := is.New(t)
	r := refusal()
	r.EnvID, r.Others, r.Recipients[0].ORcpt = "id+1=2", 3, "rfc822;old+b@example.org"
	text, header, parts := compose(t, r)
	is.Equal(header.Get("From"), "Mail Delivery System <MAILER-DAEMON@host.example.com>")
	is.Equal(header.Get("To"), "<a@example.com>")
	is.Equal(header.Get("Subject"), "Not delivered: hello")
	is.Equal(header.Get("Auto-Submitted"), "auto-replied")
	is.Equal(header.Get("In-Reply-To"), "<1@example.com>") // the report refers to the message
	is.Equal(header.Get("References"), "<1@example.com>")
	is.Equal(header.Get("MIME-Version"), "1.0")
	date, err := header.Date()
	is.NoErr(err)
	is.True(date.Equal(noon))
	is.True(strings.HasSuffix(header.Get("Message-ID"), ".report@host.example.com>"))
	is.True(strings.Contains(text, "report-type=delivery-status"))

	rep := parse(t, text)
	message, rcpt := rep.DeliveryStatus.MessageDSNs[0], rep.DeliveryStatus.RecipientDSNs[0]
	is.Equal(message.Get("Reporting-MTA"), "dns; host.example.com")
	is.Equal(message.Get("Original-Envelope-Id"), "id+1=2") // decoded from xtext
	is.Equal(message.Get("Arrival-Date"), "Mon, 23 Nov 2026 11:00:00 +0000")
	is.True(dsn.IsFailed(rcpt))
	is.Equal(rcpt.Get("Original-Recipient"), "rfc822; old+b@example.org")
	is.Equal(rcpt.Get("Final-Recipient"), "rfc822; b@example.org")
	is.Equal(rcpt.Get("Status"), "5.1.1")
	is.Equal(rcpt.Get("Remote-MTA"), "dns; relay.example.com")
	is.Equal(rcpt.Get("Diagnostic-Code"), "smtp; 550 5.1.1 no such user")
	is.Equal(rcpt.Get("Last-Attempt-Date"), "Mon, 23 Nov 2026 12:00:00 +0000")
	is.Equal(rcpt.Get("Will-Retry-Until"), "") // only for delayed recipients
	for _, words := range []string{"b@example.org", "550 5.1.1 no such user", "refused the message permanently", "failed/one.eml", "Subject: hello", "not in this report: 3."} {
		is.True(strings.Contains(oneLine(rep.Explanation.Text), words)) // the explanation has the fact
	}
	is.Equal(parts[2].kind, "text/rfc822-headers") // the header of the message
	is.Equal(parts[2].body, strings.TrimSuffix(plain, "\r\nthe body\r\n"))
	for _, p := range parts {
		is.Equal(p.encoding, "7bit")
	}
	for line := range strings.SplitSeq(text, "\r\n") {
		is.True(len(line) <= 78) // lines fit a terminal
	}
}

// oneLine undoes the wrapping of a text.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestEachRecipientHasItsOwnGroupOfFields(t *testing.T) {
	is := is.New(t)
	r := refusal()
	r.Recipients = append(r.Recipients,
		Recipient{Address: "c@example.org", Action: Delayed, Relay: "smtps://relay.example.com", Reply: "451 later", Attempts: 4, Last: noon, Until: noon.Add(24 * time.Hour)},
		Recipient{Address: "d@example.org", Action: Relayed, Relay: "lmtp+unix:///run/lmtp", Reply: "250 ok", Last: noon},
	)
	text, _, _ := compose(t, r)
	rep := parse(t, text)
	got := rep.DeliveryStatus.RecipientDSNs
	is.Equal(len(got), 3)
	is.Equal(got[0].Get("Action"), "failed")
	is.Equal(got[1].Get("Action"), "delayed")
	is.Equal(got[1].Get("Status"), "4.0.0")
	is.Equal(got[1].Get("Remote-MTA"), "dns; relay.example.com")
	is.Equal(got[1].Get("Will-Retry-Until"), "Tue, 24 Nov 2026 12:00:00 +0000")
	is.Equal(got[2].Get("Action"), "relayed")
	is.Equal(got[2].Get("Status"), "2.0.0")
	is.Equal(got[2].Get("Remote-MTA"), "") // a socket path means nothing on other hosts
	said := oneLine(rep.Explanation.Text)
	is.True(strings.Contains(said, "4 attempts were made"))
	is.True(strings.Contains(said, "Attempts end at Tue, 24 Nov 2026 12:00:00 +0000."))
	is.True(strings.Contains(said, "The relay will not report"))
}

func TestSubjectSaysWhatTheReportIsAbout(t *testing.T) {
	tests := []struct {
		name     string
		action   Action
		original string
		want     string // decoded
	}{
		{"failed", Failed, "Subject: hello\r\n\r\n", "Not delivered: hello"},
		{"delayed", Delayed, "Subject: hello\r\n\r\n", "Not delivered yet: hello"},
		{"relayed", Relayed, "Subject: hello\r\n\r\n", "Handed on: hello"},
		{"none", Failed, "From: a@example.com\r\n\r\n", "Not delivered"},
		{"encoded", Failed, "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\n", "Not delivered: Grüße"},
		{"folded, with blanks before the colon", Failed, "SUBJECT : one\r\n  two\r\n\r\n", "Not delivered: one two"},
		{"raw", Failed, "Subject: Gr\xc3\xbc\xc3\x9fe\r\n\r\n", "Not delivered: Grüße"},
		{"unknown charset", Failed, "Subject: =?klingon?q?x?=\r\n\r\n", "Not delivered: =?klingon?q?x?="},
		{"long", Failed, "Subject: " + strings.Repeat("ü ", 200) + "\r\n\r\n", "Not delivered: " + strings.Repeat("ü ", 66) + "ü..."},
		{"with a line end in an encoded word", Failed, "Subject: =?utf-8?q?x=0D=0ABcc:_c@example.org?=\r\n\r\n", "Not delivered: x Bcc: c@example.org"},
		{"twice", Failed, "Subject: one\r\nSubject: two\r\n\r\n", "Not delivered: one"},
		{"without a body", Failed, "Subject: hello\r\n", "Not delivered: hello"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			r := refusal()
			r.Recipients[0].Action, r.Original = tt.action, from(tt.original)
			_, header, _ := compose(t, r)
			got := header.Get("Subject")
			if decoded, err := new(mime.WordDecoder).DecodeHeader(got); err == nil {
				got = decoded
			}
			is.Equal(got, tt.want)
			is.Equal(header.Get("Bcc"), "") // a line break adds no field
		})
	}
}

func TestStatusCodes(t *testing.T) {
	tests := []struct {
		name string
		rcpt Recipient
		want string
	}{
		{"of the reply", Recipient{Action: Failed, Reply: "550 5.7.26 no"}, "5.7.26"},
		{"given", Recipient{Action: Failed, Status: "5.3.4", Reason: "too large"}, "5.3.4"},
		{"refused without one", Recipient{Action: Failed, Reply: "554 no"}, "5.0.0"},
		{"given up in the end", Recipient{Action: Failed, Reply: "451 4.2.1 later"}, "4.2.1"},
		{"given up in the end without one", Recipient{Action: Failed, Reply: "451 later"}, "4.4.7"},
		{"too old, no reply", Recipient{Action: Failed, Reason: "connection refused"}, "4.4.7"},
		{"delayed", Recipient{Action: Delayed, Reply: "451 4.2.1 later"}, "4.2.1"},
		{"delayed by the relay's own trouble", Recipient{Action: Delayed, Reply: "535 5.7.8 who are you"}, "4.0.0"},
		{"relayed", Recipient{Action: Relayed, Reply: "250 2.1.5 fine"}, "2.1.5"},
		{"no code at all", Recipient{Action: Failed, Reply: "550 5.1.x"}, "5.0.0"},
		{"too long for a code", Recipient{Action: Failed, Reply: "550 5.1.1234"}, "5.0.0"},
		{"of another class", Recipient{Action: Failed, Reply: "550 2.1.5"}, "5.0.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(tt.rcpt.status(), tt.want)
		})
	}
}

func TestHostOfRelay(t *testing.T) {
	for relay, want := range map[string]string{
		"smtp.example.com:587": "smtp.example.com", "smtps://smtp.example.com": "smtp.example.com", "smtp://smtp.example.com:25": "smtp.example.com",
		"[2001:db8::1]:25": "2001:db8::1", "lmtp:host:24": "host", "lmtp+unix:///run/lmtp": "", "lmtp:/run/lmtp": "", "mx:example.com": "",
		"srv:example.com": "", "transport": "", "": "", "bad host:25": "", "x\r\ny:25": "",
	} {
		t.Run(relay, func(t *testing.T) {
			is := is.New(t)
			is.Equal(hostOf(relay), want)
		})
	}
}

func TestReturnedContent(t *testing.T) {
	const utf8Subject, latin1Subject = "Subject: Gr\xc3\xbc\xc3\x9fe\r\n", "Subject: Gr\xfc\xdfe\r\n"
	long := strings.Repeat("x", 1500)
	tests := []struct {
		name     string
		header   string
		body     string
		full     bool
		action   Action
		kind     string
		encoding string
		whole    bool
	}{
		{"header", "Subject: x\r\n", "body\r\n", false, Failed, "text/rfc822-headers", "7bit", false},
		{"header of 8-bit text", "Subject: x\r\n", "Gr\xc3\xbc\xc3\x9fe\r\n", false, Failed, "text/rfc822-headers", "7bit", false},
		{"header in UTF-8", utf8Subject, "body\r\n", false, Failed, "message/global-headers", "8bit", false},
		{"header in Latin-1", latin1Subject, "body\r\n", false, Failed, "text/rfc822-headers", "8bit", false},
		{"header with a long line", "X: " + long + "\r\n", "body\r\n", false, Failed, "text/rfc822-headers", "quoted-printable", false},
		{"header with a NUL", "X: a\x00b\r\n", "body\r\n", false, Failed, "text/rfc822-headers", "quoted-printable", false},
		{"all", "Subject: x\r\n", "body\r\n", true, Failed, "message/rfc822", "7bit", true},
		{"all of 8-bit text", "Subject: x\r\n", "Gr\xfc\xdfe\r\n", true, Failed, "message/rfc822", "8bit", true},
		{"all in UTF-8", utf8Subject, "body\r\n", true, Failed, "message/global", "8bit", true},
		{"all, but of a delay", "Subject: x\r\n", "body\r\n", true, Delayed, "text/rfc822-headers", "7bit", false},
		{"all, header in Latin-1", latin1Subject, "body\r\n", true, Failed, "text/rfc822-headers", "8bit", false},
		{"all, with a long line", "Subject: x\r\n", long + "\r\n", true, Failed, "text/rfc822-headers", "7bit", false},
		{"all, with the longest line", "Subject: x\r\n", long[:998] + "\r\n", true, Failed, "message/rfc822", "7bit", true},
		{"all, with a NUL", "Subject: x\r\n", "a\x00b\r\n", true, Failed, "text/rfc822-headers", "7bit", false},
		{"all, too large", "Subject: x\r\n", strings.Repeat(long[:78]+"\r\n", MaxFull/80+1), true, Failed, "text/rfc822-headers", "7bit", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			r := refusal()
			r.Full, r.Recipients[0].Action, r.Original = tt.full, tt.action, from(tt.header+"\r\n"+tt.body)
			text, _, parts := compose(t, r)
			is.Equal(parts[2].kind, tt.kind)
			is.Equal(parts[2].encoding, tt.encoding)
			want := tt.header
			if tt.whole {
				want += "\r\n" + tt.body
			}
			if tt.encoding != "quoted-printable" {
				is.Equal(parts[2].body, want)
			}
			if tt.whole && tt.kind == "message/rfc822" {
				// enmime finds the header, too
				is.True(strings.HasPrefix(string(parse(t, text).OriginalMessage), "Subject: x"))
			}
			check(t, text)
		})
	}
}

// check fails the test if text is no valid message: bad line ends, long lines, a NUL.
func check(t *testing.T, text string) {
	t.Helper()
	for line := range strings.SplitSeq(text, "\r\n") {
		if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("bad line %.200q in\n%.2000q", line, text)
		}
	}
}

func TestAddressesBeyondASCII(t *testing.T) {
	is := is.New(t)
	r := refusal()
	r.Recipients[0].Address, r.Recipients[0].ORcpt = "jörg@bücher.example", "utf-8;jörg@bücher.example"
	r.Recipients[0].Reply = "550 5.1.1 gibt es hier nicht: jörg"
	text, _, parts := compose(t, r)
	is.True(strings.Contains(oneLine(text), "report-type=global-delivery-status"))
	is.Equal(parts[1].kind, "message/global-delivery-status")
	is.Equal(parts[1].encoding, "8bit")
	rcpt := parse(t, text).DeliveryStatus.RecipientDSNs[0]
	is.Equal(rcpt.Get("Original-Recipient"), "utf-8; jörg@bücher.example")
	is.Equal(rcpt.Get("Final-Recipient"), "utf-8; jörg@bücher.example")
	is.Equal(rcpt.Get("Diagnostic-Code"), "smtp; 550 5.1.1 gibt es hier nicht: jörg")
}

func TestAReplyBeyondASCII(t *testing.T) {
	is := is.New(t)
	r := refusal()
	r.Recipients[0].Reply = "550 5.1.1 gibt es hier nicht: jörg"
	text, _, parts := compose(t, r)
	is.Equal(parts[1].kind, "message/delivery-status") // ASCII, so that every program can read it
	rep := parse(t, text)
	is.Equal(rep.DeliveryStatus.RecipientDSNs[0].Get("Diagnostic-Code"), "smtp; 550 5.1.1 gibt es hier nicht: j?rg")
	is.Equal(parts[0].encoding, "8bit")
	is.True(strings.Contains(rep.Explanation.Text, "jörg")) // the explanation has the text unchanged
}

func TestHostileRepliesAndAddressesDoNotBreakOut(t *testing.T) {
	for name, hostile := range map[string]string{
		"line ends":     "550 no\r\n\r\nAction: delivered\r\n--x\r\n",
		"bare line end": "550 no\nAction: delivered\rAction: delivered",
		"NUL":           "550 \x00no\x00",
		"8-bit":         "550 \xff\xfe no",
		"line breakers": "550 no\u2028Action: delivered\u0085Action: delivered",
		"without end":   "550 " + strings.Repeat("x", 5000),
		"empty lines":   "\r\n\r\n \r\n\t\r\n",
		"boundary":      "--0123456789abcdef--",
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			r := refusal()
			r.Kept, r.Host, r.EnvID = "failed/"+hostile, hostile, hostile
			r.Recipients[0] = Recipient{Address: hostile, ORcpt: "rfc822;" + hostile, Action: Failed, Relay: hostile, Reply: hostile, Status: hostile}
			r.Recipients = append(r.Recipients, Recipient{Address: hostile, Action: Failed, Reason: hostile})
			text, _, _ := compose(t, r)
			check(t, text)
			is.True(utf8.ValidString(text))
			rep := parse(t, text)
			is.Equal(len(rep.DeliveryStatus.RecipientDSNs), 2) // the number of recipients is right
			for _, rcpt := range rep.DeliveryStatus.RecipientDSNs {
				is.Equal(rcpt["Action"], []string{"failed"}) // the hostile text adds no recipient
				is.True(rcpt.Get("Final-Recipient") != "")
			}
		})
	}
}

func TestThousandsOfRecipientsAreOneReport(t *testing.T) {
	is := is.New(t)
	r := refusal()
	for len(r.Recipients) < 10_000 {
		r.Recipients = append(r.Recipients, r.Recipients[0])
	}
	text, _, _ := compose(t, r)
	is.Equal(len(parse(t, text).DeliveryStatus.RecipientDSNs), 10_000)
}

func TestTheSameReportHasTheSameMessageID(t *testing.T) {
	is := is.New(t)
	_, one, _ := compose(t, refusal())
	again := refusal()
	again.Date = noon.Add(time.Minute)
	_, two, _ := compose(t, again)
	is.Equal(one.Get("Message-ID"), two.Get("Message-ID")) // a report that is made twice, as after a crash
	again.Recipients[0].Last = noon.Add(time.Minute)
	_, three, _ := compose(t, again)
	is.True(one.Get("Message-ID") != three.Get("Message-ID")) // another failure of the same message
}

func TestAnUnreadableMessageIsAnError(t *testing.T) {
	broken := errors.New("the disk is broken")
	for name, original := range map[string]func() io.Reader{
		"in the header": func() io.Reader { return failing("Subject: x\r\n", broken) },
		"in the body":   func() io.Reader { return failing("Subject: x\r\n\r\nbody\r\n", broken) },
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			r := refusal()
			r.Full, r.Original = true, original
			is.True(errors.Is(Compose(io.Discard, r), broken)) // no report with a part missing
		})
	}
}

func failing(text string, err error) io.Reader {
	return io.MultiReader(strings.NewReader(text), errReader{err})
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func FuzzCompose(f *testing.F) {
	f.Add("550 5.1.1 no\r\nsuch user", "b@example.org", "rfc822;b@example.org", "relay.example.com:25", plain, true)
	f.Add("451 \x00\xff", "\"a b\"@\r\n", ";", "mx:\r\n", "Subject: =?utf-8?q?=0D=0A?=\r\n \r\n\r\n\x00", false)
	f.Add("", "jörg@example.org", "utf-8;jörg", "smtps://[::1]:25", "Message-ID: <x\r\n y>\r\n\r\n--\r\n", true)
	f.Fuzz(func(t *testing.T, reply, addr, orcpt, relay, original string, full bool) {
		original = strings.ReplaceAll(strings.NewReplacer("\r\n", "\n", "\r", " ").Replace(original), "\n", "\r\n")
		if !strings.HasSuffix(original, "\r\n") {
			original += "\r\n"
		}
		r := refusal()
		r.Full, r.Original, r.EnvID, r.Kept = full, from(original), orcpt, "failed/"+relay
		r.Recipients[0].Reply, r.Recipients[0].Address, r.Recipients[0].ORcpt, r.Recipients[0].Relay = reply, addr, orcpt, relay
		r.Recipients = append(r.Recipients, Recipient{Address: addr, Action: Delayed, Reason: reply, Until: noon})
		text, header, parts := compose(t, r)
		check(t, text)
		if header.Get("To") != "<a@example.com>" || len(header["Subject"]) != 1 || len(header) != fields(header) {
			t.Fatalf("the header is not ours: %q", header)
		}
		for i, p := range parts {
			if p.encoding != "8bit" && !isASCII(p.body) {
				t.Fatalf("part %d is %s and not ASCII: %q", i, p.encoding, p.body)
			}
			if i < 2 && !utf8.ValidString(p.body) {
				t.Fatalf("part %d is not UTF-8: %q", i, p.body)
			}
		}
		// The status part is parsed strictly here, as enmime does not read every valid field.
		groups := strings.Split(strings.TrimSuffix(parts[1].body, "\r\n"), "\r\n\r\n")
		if len(groups) != 3 || strings.Count("\r\n"+parts[1].body, "\r\nAction: ") != 2 || strings.Count("\r\n"+parts[1].body, "\r\nStatus: ") != 2 {
			t.Fatalf("the status part is not ours: %q", parts[1].body)
		}
		if len(parse(t, text).DeliveryStatus.RecipientDSNs) != 2 {
			t.Fatalf("enmime does not find two recipients in %q", parts[1].body)
		}
	})
}

// fields is the number of fields in the header of a report: a report refers to the message only if the Message-ID is
// valid.
func fields(h mail.Header) int {
	if h.Get("References") == "" {
		return 8
	}
	return 10
}
