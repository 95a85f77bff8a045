package message

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
)

// headerOf reads the header of a message text.
func headerOf(t testing.TB, text string) *Header {
	t.Helper()
	h, err := ReadHeader(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatalf("read header of %.80q: %v", text, err)
	}
	return h
}

// show returns addresses in one line: valid ones, and invalid ones as !text(reason).
func show(list []Address) string {
	var out []string
	for _, a := range list {
		if a.Err != nil {
			a.Addr = fmt.Sprintf("!%s(%v)", a.Addr, a.Err)
		}
		out = append(out, a.Addr)
	}
	return strings.Join(out, " | ")
}

func TestAddressList(t *testing.T) {
	const badLocal = "part before the @ has a character that is not allowed there"
	long := strings.Repeat("d", 60)
	longDomain := strings.Repeat(long+".", 4) + "org"
	for _, tt := range []struct{ name, value, want string }{
		{"one", "a@x.org", "a@x.org"},
		{"display name", "Ann <a@x.org>", "a@x.org"},
		{"several", "a@x.org, Bob <b@y.org>,c@z.org", "a@x.org | b@y.org | c@z.org"},
		{"empty", "", ""},
		{"only commas", " , ,, ", ""},
		{"trailing and double commas", "a@x.org,, b@y.org,", "a@x.org | b@y.org"},
		{"empty group", "undisclosed-recipients:;", ""},
		{"empty group, spaced", "undisclosed-recipients: ;", ""},
		{"empty group never closed", "undisclosed-recipients:", ""},
		{"group", "Team: a@x.org, Bob <b@y.org>;", "a@x.org | b@y.org"},
		{"group inside list", "c@z.org, Team: a@x.org, b@y.org;, d@z.org", "c@z.org | a@x.org | b@y.org | d@z.org"},
		{"bad address in group in list", "c@z.org, Team: root, b@y.org;, d@z.org", "c@z.org | !root(no domain) | b@y.org | d@z.org"},
		{"quoted group name", `"a, b": root, a@x.org;`, "!root(no domain) | a@x.org"},
		{"bare name", "root", "!root(no domain)"},
		{"bare name alone fails", "a@x.org, root, b@y.org", "a@x.org | !root(no domain) | b@y.org"},
		{"bare name before a nameless angle", "root, <a@x.org>", "!root(no domain) | a@x.org"},
		{"bare name in angles", "Root <root>, a@x.org", "!Root <root>(no domain) | a@x.org"},
		{"null path", "<>", "!<>(no domain)"},
		{"domain missing", "a@, b@y.org", "!a@(no domain) | b@y.org"},
		{"local part missing", "@x.org, b@y.org", "!@x.org(nothing before the @) | b@y.org"},
		{"unquoted comma in name", "Doe, John <a@x.org>", "!Doe(no domain) | a@x.org"},
		{"unquoted comma in a later name", "b@y.org, Doe, John <a@x.org>, c@z.org", "b@y.org | !Doe(no domain) | a@x.org | c@z.org"},
		{"bare name before a name", "root, Bob Smith <b@x.org>", "!root(no domain) | b@x.org"},
		{"comma in an encoded word", "=?utf-8?Q?Doe,_John?= <a@x.org>", "a@x.org"},
		{"double angles", "<<a@x.org>>, b@y.org", "a@x.org | b@y.org"},
		{"half double angles", "<<a@x.org>, b@y.org", "a@x.org | b@y.org"},
		{"blanks in angles", "< a@x.org >", "a@x.org"},
		{"blanks at the @", "b @ x.org", "b@x.org"},
		{"comment first", "(c) a@x.org", "a@x.org"},
		{"comment behind", "a@x.org (c, d@y.org)", "a@x.org"},
		{"comments in angles", "Ann <(c)a@x.org(d)>, Bob <b(c)@y.org>", "a@x.org | b@y.org"},
		{"nested comments", "(a (b <c@d>) e) a@x.org, b@y.org", "a@x.org | b@y.org"},
		{"escaped bracket in comment", `(a \) <c@d>, e) a@x.org`, "a@x.org"},
		{"only a comment", "(nobody), a@x.org", "a@x.org"},
		{"source route", "<@r.org:a@x.org>", "a@x.org"},
		{"long source route", "Ann <@r.org,@s.org:a@x.org>, b@y.org", "a@x.org | b@y.org"},
		{"semicolon", "a@x.org; b@y.org", "a@x.org | b@y.org"},
		{"space", "a@x.org b@y.org", "a@x.org | b@y.org"},
		{"comma missing behind angles", "Ann <a@x.org> Bob <b@y.org>", "a@x.org | b@y.org"},
		{"bare name behind a space", "a@x.org root", "a@x.org | !root(no domain)"},
		{"address as display name", "old@x.org <new@x.org>", "new@x.org"},
		{"address and comment as display name", "old@x.org (c) <new@x.org>", "new@x.org"},
		{"comma missing, blanks in quotes", `"a  b"@x.org c@y.org`, `"a  b"@x.org | c@y.org`},
		{"angle never closed", "Ann <a@x.org, b@y.org", "!Ann <a@x.org(" + badLocal + ") | b@y.org"},
		{"quote never closed", `"Ann <a@x.org>, b@y.org`, "a@x.org | b@y.org"},
		{"comment never closed", `a@x.org (c, b@y.org`, "!a@x.org (c(not a domain name) | b@y.org"},
		{"double dot", "a..b@x.org, b@y.org", `"a..b"@x.org | b@y.org`},
		{"dots everywhere", ".a@x.org, b.@x.org, c...d@x.org, .@x.org", `".a"@x.org | "b."@x.org | "c...d"@x.org | "."@x.org`},
		{"dots in quotes", `"a..b"@x.org, root`, `"a..b"@x.org | !root(no domain)`},
		{"final dot of a domain", "a@x.org., Bob <b@y.org.>, c@x..", "a@x.org | b@y.org | !c@x..(not a domain name)"},
		{"address in quotes", `"a@x.org"`, "a@x.org"},
		{"address in quotes and angles", `Ann <"a@x.org">, "b@y.org"`, "a@x.org | b@y.org"},
		{"name and address in quotes", `"Ann <a@x.org>", "Doe, Bob <b@y.org>"`, "a@x.org | b@y.org"},
		{"escapes in quotes", `"\"Ann\" <a@x.org>"`, "a@x.org"},
		{"address in single quotes", `'a@x.org', Bob <'b@y.org'>`, "a@x.org | b@y.org"},
		{"group in quotes", `"undisclosed-recipients:;"`, ""},
		{"group in angles", `<undisclosed-recipients:;>`, ""},
		{"several in quotes", `"a@x.org, b@y.org"`, `!"a@x.org, b@y.org"(no domain)`},
		{"quotes with a host", `"a@x.org"@y.org`, `"a@x.org"@y.org`},
		{"mailto in angles", "Ann <mailto:a@x.org>", "a@x.org"},
		{"@ in a name", "root@nas01 Backup <a@x.org>", "a@x.org"},
		{"@ in names", "l@y.org via List <a@x.org>, b@y.org, c@z.org for Bob <d@x.org>", "a@x.org | b@y.org | d@x.org"},
		{"@ in a name, the rest without commas", "a@x.org <b@y.org> c@z.org <d@w.org> e@v.org f@u.org", "b@y.org | d@w.org | e@v.org | f@u.org"},
		{"Outlook", "Doe, John <a@x.org>; Roe, Jane <b@y.org>", "a@x.org | b@y.org"},
		{"Outlook, some without names", "Doe, John <a@x.org>; c@z.org; b@y.org, d@w.org", "a@x.org | c@z.org | b@y.org | d@w.org"},
		{"zero width space", "a@x.org\u200b, \u200bb@y.org, c@z.org", "!a@x.org\u200b(holds U+200B (zero width space)) | !\u200bb@y.org(holds U+200B (zero width space)) | c@z.org"},
		{"mark in a quoted local part", "\"a\u202eb\"@x.org", "!a?b@x.org(holds U+202E (right-to-left override))"},
		{"language tag", "a\U000E0041@x.org", "!a\U000E0041@x.org(holds U+E0041 (a format character))"},
		{"no-break space", "a@x.org\u00a0, b@y.org", "!a@x.org\u00a0(holds U+00A0 (no-break space)) | b@y.org"},
		{"mark in a name", "\u200fAnn\u200e <a@x.org>", "a@x.org"},
		{"raw ISO-2022-JP", "\x1b$B$\"$$\x1b(B <a@x.org>, \x1b$B$\"<,$(\x1b(B <b@y.org>", "a@x.org | b@y.org"},
		{"raw ISO-2022-JP in quotes", "\"\x1b$B!\"\\\x1b(J\" <a@x.org>, b@y.org", "a@x.org | b@y.org"},
		{"raw ISO-2022-JP never closed", "\x1b$B$\"$$ <a@x.org>, \x1b$B(( <b@y.org>", "a@x.org | b@y.org"},
		{"raw ISO-2022-KR", "\x1b$)C\x0e\"(<\x0f <a@x.org>, b@y.org", "a@x.org | b@y.org"},
		{"raw Shift_JIS", "\"\x95\\\" <a@x.org>, \"\x83\\\" <b@y.org>", "a@x.org | b@y.org"},
		{"invalid UTF-8 in a name", "Jos\xe9 <a@x.org>, b@y.org", "a@x.org | b@y.org"},
		{"invalid UTF-8 in an address", "jos\xe9@x.org, b@y.org", "!jos\uFFFD@x.org(not valid UTF-8) | b@y.org"},
		{"unknown charset", "=?no-such?Q?J=F6rg?= <a@x.org>", "a@x.org"},
		{"windows-1252", "=?windows-1252?Q?J=F6rg?= <a@x.org>, b@y.org", "a@x.org | b@y.org"},
		{"quoted comma", `"a,b"@x.org`, `"a,b"@x.org`},
		{"quoted in a list with a bad one", `"a,b"@x.org, root, "c>d" <"e@f"@y.org>`, `"a,b"@x.org | !root(no domain) | "e@f"@y.org`},
		{"needless quotes", `"a"@x.org, root, "b"@y.org`, `a@x.org | !root(no domain) | b@y.org`},
		{"escaped quote", `"a\"b"@x.org`, `"a\"b"@x.org`},
		{"UTF-8 address", "Jörg <jörg@bücher.example>", "jörg@bücher.example"},
		{"encoded word with line end", "<=?utf-8?Q?a=0D=0ARCPT?=@x.org>", "=?utf-8?Q?a=0D=0ARCPT?=@x.org"},
		{"encoded word with parameter", "<=?utf-8?Q?victim=40x.org=3E_NOTIFY=3DNEVER?=@x.org>", "=?utf-8?Q?victim=40x.org=3E_NOTIFY=3DNEVER?=@x.org"},
		{"encoded word behind backslashes", `root, <"=\?utf-8\?Q\?a=0D=0ARCPT\?="@x.org>`, "!root(no domain) | =?utf-8?Q?a=0D=0ARCPT?=@x.org"},
		{"encoded word in a sloppy list", "<=?utf-8?Q?victim=40x.org=3E?=@x.org>; root", "=?utf-8?Q?victim=40x.org=3E?=@x.org | !root(no domain)"},
		{"IPv4 literal", "a@[192.0.2.1]", "a@[192.0.2.1]"},
		{"IPv6 literal", "a@[IPv6:2001:db8::1], b@y.org", "a@[IPv6:2001:db8::1] | b@y.org"},
		{"IPv6 literal in angles", "Ann <a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"},
		{"address in a literal", "a@[x, b@y.org, c]d, e@z.org", "!a@[x, b@y.org, c]d(" + badLocal + ") | e@z.org"},
		{"angle in a literal", "a@[x<b@y.org>], e@z.org", "!a@[x<b@y.org>](" + badLocal + ") | e@z.org"},
		{"literal never closed", "a@[x, b@y.org, c", "!a@[x(not an address literal) | b@y.org | !c(no domain)"},
		{"literals, blanks between", "a@[192.0.2.1] b@[IPv6:::1] c@x.org", "a@[192.0.2.1] | b@[IPv6:::1] | c@x.org"},
		{"bracket in a name", "[list] Ann <a@x.org>, b@y.org", "a@x.org | b@y.org"},
		{"open bracket in a name", "[list Ann <a@x.org>, b@y.org", "a@x.org | b@y.org"},
		{"no literal", "a@[x.org], b@y.org", "!a@[x.org](not an address literal) | b@y.org"},
		{"long local part", strings.Repeat("l", 65) + "@x.org", "!" + strings.Repeat("l", 65) + "@x.org(part before the @ longer than 64 bytes)"},
		{"300 bytes", strings.Repeat("l", 50) + "@" + longDomain, "!" + (strings.Repeat("l", 50) + "@" + longDomain)[:200] + "(address longer than 254 bytes)"},
		{"control character", "a\x01b@x.org, c@y.org", "!a?b@x.org(holds a control character) | c@y.org"},
		{"C1 control character", "a\u0085b@x.org", "!a?b@x.org(holds a control character)"},
		{"NUL", "a\x00@x.org", "!a?@x.org(holds a control character)"},
		{"line ends and more behind an angle", "<a@x.org> NOTIFY=NEVER", "a@x.org | !NOTIFY=NEVER(no domain)"},
		{"mailto", "mailto:a@x.org", "a@x.org"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(show(parseList(tt.value)), tt.want) // every address in the list, bad ones alone
		})
	}
}

func TestAddressesFromHeader(t *testing.T) {
	for _, tt := range []struct{ name, header, from, to, cc, bcc string }{
		{"all fields of a name", "From: f@x\nTo: a@x\nCc: c@x\nTo: b@x\nBcc: d@x\nCC: e@x\n", "f@x", "a@x | b@x", "c@x | e@x", "d@x"},
		{"folded", "From: f@x\nTo: a@x,\n\tb@x,\n  c@x\n", "f@x", "a@x | b@x | c@x", "", ""},
		{"blank before the colon", "From : f@x\nBcc\t : d@x\n", "f@x", "", "", "d@x"},
		{"text behind the header", "From: f@x\nTo: a@x,\nb@x,\nCc: c@x\n", "f@x", "a@x", "", ""},
		{"text behind a line of blanks", "From: f@x\nTo: a@x\n \t\nHello\nCc: c@x\n", "f@x", "a@x", "", ""},
		{"a line of blanks in a field", "From: f@x\nTo: a@x,\n \n b@x\n \nCc: c@x\n", "f@x", "a@x | b@x", "c@x", ""},
		{"no field name", "From: f@x\nTo: a@x\n\x01bad: c@x\nCc: c@x\n", "f@x", "a@x", "", ""},
		{"once each", "From: f@x\nTo: a@x, A@x, a@X\nCc: a@x, b@x\nBcc: b@X, root, root\n", "f@x", "a@x | A@x", "b@x", "!root(no domain)"},
		{"Resent instead", "From: f@x\nTo: a@x\nCc: c@x\nBcc: d@x\nResent-To: r@x\nResent-Bcc: s@x\nResent-To: t@x\n", "f@x", "r@x | t@x", "", "s@x"},
		{"empty Resent-To", "From: f@x\nTo: a@x\nResent-To:\n", "f@x", "", "", ""},
		{"Resent-Sender", "Resent-Sender: rs@x\nResent-From: rf@x\nSender: s@x\nFrom: f@x\nResent-To: r@x\n", "rs@x", "r@x", "", ""},
		{"Resent-From", "Resent-From: rf@x\nSender: s@x\nFrom: f@x\nResent-Cc: r@x\n", "rf@x", "", "r@x", ""},
		{"Resent-From without Resent recipients", "Resent-From: rf@x\nSender: s@x\nFrom: f@x\nTo: a@x\n", "s@x", "a@x", "", ""},
		{"Return-Path", "Return-Path: <p@x>\nSender: s@x\nFrom: f@x\n", "p@x", "", "", ""},
		{"null Return-Path", "Return-Path: < >\nFrom: f@x\n", "", "", "", ""},
		{"empty Return-Path", "Return-Path:\nFrom: f@x\n", "", "", "", ""},
		{"empty Sender", "Sender:\nFrom: f@x\n", "f@x", "", "", ""},
		{"first From", "From: Doe, John <f@x>, g@x\n", "f@x", "", "", ""},
		{"null From", "From: <>\nTo: a@x\n", `!sender "<>" in From: no domain`, "a@x", "", ""},
		{"bare From", "From: root\nTo: a@x\n", `!sender "root" in From: no domain`, "a@x", "", ""},
		{"bad Sender", "Sender: root (cron)\nFrom: f@x\n", `!sender "root (cron)" in Sender: no domain`, "", "", ""},
		{"group as From", "From: nobody:;\n", "!no sender: no address in From", "", "", ""},
		{"no sender", "To: a@x\n", "!no sender: there is no Return-Path, Sender or From", "a@x", "", ""},
		{"no header", "hello\nTo: a@x\n\n", "!no sender: there is no Return-Path, Sender or From", "", "", ""},
		{"in the body", "From: f@x\n\nTo: a@x\n", "f@x", "", "", ""},
		{"CR CR LF", "From: f@x\r\r\nTo: a@x,\r\r\n b@x\r\r\n\r\r\nCc: c@x\r\r\n", "f@x", "a@x | b@x", "", ""},
		{"CR CR CR LF ends the header", "From: f@x\r\nTo: a@x\n\r\r\r\nCc: c@x\r\n", "f@x", "a@x", "", ""},
		{"lone CR", "From: f@x\rTo: b@x\nTo: a@x,\rb@x\n\n", "f@x", "a@x | b@x", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			is := is.New(t)
			a := headerOf(t, tt.header).Addresses()
			if a.FromErr != nil {
				a.From = "!" + a.FromErr.Error()
			}
			is.Equal(a.From, tt.from)     // sender
			is.Equal(show(a.To), tt.to)   // To
			is.Equal(show(a.Cc), tt.cc)   // Cc
			is.Equal(show(a.Bcc), tt.bcc) // Bcc
		})
	}
}

func TestAddressesFromEnvelope(t *testing.T) {
	is := is.New(t)
	h := headerOf(t, `X-Spoolgore-Envelope: {"from":"","to":["a@x","A@x","a@X","root","b\r\nRCPT@x","\"q r\"@x"]}`+
		"\nFrom: f@x\nTo: c@x\nBcc: d@x\n\n")
	a := h.Addresses()
	is.Equal(a.From, "")    // the null sender
	is.NoErr(a.FromErr)     // is valid
	is.Equal(len(a.Cc), 0)  // recipients of the header are not used
	is.Equal(len(a.Bcc), 0) // nor those of Bcc
	is.Equal(show(a.To), `a@x | A@x | !root(no domain) | !b??RCPT@x(holds a control character) | "q r"@x`)

	a = headerOf(t, `X-Spoolgore-Envelope: {"from":"fo o@x","to":["a@x"]}`).Addresses()
	is.True(a.FromErr != nil)   // an invalid sender is an error
	is.Equal(show(a.To), "a@x") // and does not affect the recipients

	a = headerOf(t, "X-Spoolgore-Envelope: {\nFrom: f@x\nTo: a@x\n\n").Addresses()
	is.True(a.FromErr != nil)        // a broken envelope line is an error
	is.Equal(len(a.To)+len(a.Cc), 0) // the header is not used instead
	is.Equal(a.From, "")             // not for the sender either
}

func TestCheckAddress(t *testing.T) {
	d63 := strings.Repeat("d", 63)
	d255 := d63 + "." + d63 + "." + d63 + "." + d63
	for _, tt := range []struct {
		addr string
		ok   bool
	}{
		{"a@x", true},
		{"a.b+c/d=e!f#$%&'*-_`{|}~?^@x-y_z.org", true},
		{`"a b"@x`, true}, {`"a\"b\\"@x`, true}, {`""@x`, true}, {`"a@b"@x`, true}, {`"ü>"@x`, true},
		{"ü@x", true}, {"a@bücher.example", true},
		{"a@[127.0.0.1]", true}, {"a@[IPv6:::1]", true}, {"a@[ipv6:fe80::1]", true},
		{strings.Repeat("l", 64) + "@x", true},
		{"a@" + d255[:252], true},
		{"", false}, {"a", false}, {"a@", false}, {"@x", false}, {"@", false}, {"a@@x", false}, {"a@b@x", false},
		{"<a@x>", false}, {"a@x>", false}, {"a b@x", false}, {"a@x y", false}, {" a@x", false}, {"a@x ", false},
		{"a\u00a0b@x", false}, {"a@x\u2003y", false},
		{".a@x", false}, {"a.@x", false}, {"a..b@x", false}, {"a@.x", false}, {"a@x.", false}, {"a@x..y", false},
		{`"a"b"@x`, false}, {`"a\"@x`, false}, {`"@x`, false}, {`a"b"@x`, false}, {`a\b@x`, false},
		{"a\r\nb@x", false}, {"a@x\n", false}, {"\"a\x00\"@x", false}, {"\"a\tb\"@x", false}, {"a\u009fb@x", false}, {"a\x7f@x", false},
		{"a\xff@x", false}, {"a\uFFFD@x", false},
		{"a@x,y", false}, {"a@x:25", false}, {"a@x/y", false}, {"a@(x)", false}, {"a@x;y", false},
		{"a@[]", false}, {"a@[127.0.0.1", false}, {"a@[127.0.0.1]x", false}, {"a@[::1]", false}, {"a@[IPv6:fe80::1%eth0]", false}, {"a@[IPv6:]", false}, {"a@[IPv6:127.0.0.1]", false}, {"a@[x.org]", false},
		{strings.Repeat("l", 65) + "@x", false},
		{"a@" + d255[:253], false},
		{"a@" + d255 + ".d", false},
	} {
		t.Run(printable(tt.addr), func(t *testing.T) {
			is := is.New(t)
			err := CheckAddress(tt.addr)
			is.Equal(err == nil, tt.ok) // only valid addresses pass
		})
	}
}

func TestHasUTF8(t *testing.T) {
	is := is.New(t)
	is.True(!HasUTF8("a@x.org")) // ASCII
	is.True(HasUTF8("ü@x.org"))  // in the local part
	is.True(HasUTF8("a@x.örg"))  // in the domain
}

func TestPrintable(t *testing.T) {
	is := is.New(t)
	is.Equal(printable("a\r\nb\xff"), "a??b?")                        // no control character, valid UTF-8
	is.Equal(len(printable(strings.Repeat("x", 1000))), 200)          // at most 200 bytes
	is.Equal(len(printable("x"+strings.Repeat("ü", 1000))), 199)      // cut between characters
	is.Equal(printable(strings.Repeat("\xff", 1000)), "?")            // one mark for consecutive broken bytes
	is.Equal(len(printable(strings.Repeat("\x80x", 1000))), 200)      // marks do not exceed the limit
	is.Equal(printable(strings.Repeat("ü", 100) + "x")[:2], "\u00fc") // valid characters are kept
}

// Lists made to be slow: the time must grow with the length, not with its square.
func TestHostileListsAreReadInTime(t *testing.T) {
	for _, unit := range []string{"(", "<", `"`, "[", "<,", `\"`, "<(", `<"`, "((<[", "a@x ", "a@x\t  ", "@", "<@", ":", "a:", "<>", "(a)", ",", ";", "a,", "?", "a@x <", "\uFDD0"} {
		t.Run(unit, func(t *testing.T) {
			is := is.New(t)
			start := time.Now()
			parseList("!," + strings.Repeat(unit, MaxHeader/4/len(unit)))
			is.True(time.Since(start) < time.Minute) // a quadratic reader takes minutes on an idle machine
		})
	}
}
