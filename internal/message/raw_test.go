package message

import (
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestQualify(t *testing.T) {
	for list, want := range map[string]string{
		"":                                "",
		"root":                            "root@h",
		" root \t":                        " root@h \t",
		"root (Cron Daemon)":              "root@h (Cron Daemon)",
		"(Cron) root":                     "(Cron) root@h",
		"Anacron <root>":                  "Anacron <root@h>",
		`"(Cron Daemon)" <root>`:          `"(Cron Daemon)" <root@h>`,
		"< root >":                        "< root@h >",
		"<root>":                          "<root@h>",
		"root, joe,a@x":                   "root@h, joe@h,a@x",
		"root;joe":                        "root@h;joe@h",
		"root,\r\n\tjoe,\n a@x":           "root@h,\r\n\tjoe@h,\n a@x",
		"root\r\n (x)":                    "root@h\r\n (x)",
		"www.data":                        "www.data@h",
		`"q u"`:                           `"q u"@h`,
		`Q <"q,u">`:                       `Q <"q,u"@h>`,
		`Q <"q@u">`:                       `Q <"q@u">`,
		"Staff: root, Joe <joe>, a@x;":    "Staff: root@h, Joe <joe@h>, a@x;",
		"<root> <joe>":                    "<root@h> <joe@h>",
		"jürgen":                          "jürgen@h",
		"undisclosed-recipients:;":        "undisclosed-recipients:;",
		"a@x":                             "a@x",
		"Ann <a@x>":                       "Ann <a@x>",
		"Cron Daemon":                     "Cron Daemon",
		"<>":                              "<>",
		"a@x root":                        "a@x root@h",
		"a@":                              "a@h",
		"root@, <joe@>, Ann <ann@ >":      "root@h, <joe@h>, Ann <ann@h >",
		"root @":                          "root @h",
		`"q u"@`:                          `"q u"@h`,
		"@":                               "@",
		"a@@":                             "a@@",
		`"a@x"`:                           `"a@x"`,
		`"Ann <a@x>", joe`:                `"Ann <a@x>", joe@h`,
		"root@nas01 Backup <a@x>":         "root@nas01 Backup <a@x>",
		"Doe, John <a@x>; Roe, Jo <b@x>":  "Doe, John <a@x>; Roe, Jo <b@x>",
		"\x1b$B,\"<\x1b(B <a@x>, joe":     "\x1b$B,\"<\x1b(B <a@x>, joe@h",
		"\x1b$B,\"\x1b(B":                 "\x1b$B,\"\x1b(B",
		"root@ x":                         "root@ x",
		"<@r:a@x>":                        "<@r:a@x>",
		"Ann <a@x":                        "Ann <a@x",
		`"root`:                           `"root`,
		"=?utf-8?q?Doe,_John?= <j@x>":     "=?utf-8?q?Doe,_John?= <j@x>",
		"a..b":                            "a..b@h",
		strings.Repeat("a", 65):           strings.Repeat("a", 65),
		"[192.0.2.1]":                     "[192.0.2.1]",
		strings.Repeat("(<\"[", 50) + "x": strings.Repeat("(<\"[", 50) + "x",
	} {
		t.Run(list, func(t *testing.T) {
			is := is.New(t)
			is.Equal(Qualify(list, "h"), want)
			is.Equal(Qualify(want, "other"), want) // a second call changes nothing
		})
	}
}

// Qualify adds domains only: addresses with a domain stay, no address is lost or added, and every byte is kept.
func FuzzQualify(f *testing.F) {
	for _, list := range []string{"root", "root, Ann <a@x>", "(c) <root>, G: joe; \"q u\"", "=?utf-8?q?a,b?= <j@x>", "a@x root <b>", "\\,<@a:b@c>"} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		got := Qualify(list, "d.example")
		without := strings.NewReplacer("@", "", "d.example", "")
		if without.Replace(got) != without.Replace(list) {
			t.Fatalf("%q became %q: more than domains", list, got)
		}
		if strings.Contains(list, "d.example") || strings.ContainsAny(list, "\r\n") {
			return
		}
		before, after := parseList(list), parseList(got)
		if len(before) != len(after) {
			t.Fatalf("%q became %q: %v became %v", list, got, before, after)
		}
		for i, a := range before {
			if a.Err == nil && after[i] != a {
				t.Errorf("%q became %q: %q became %q", list, got, a.Addr, after[i].Addr)
			}
		}
	})
}

func TestFieldName(t *testing.T) {
	is := is.New(t)
	for line, want := range map[string]string{
		"To: x\r\n": "To", "Bcc : x": "Bcc", "TO:\n": "TO", "12:00 text": "12", ":x": "", " To: x": "", "hello": "", "a b: c": "", "X\x01: y": "", "": "",
	} {
		is.Equal(FieldName([]byte(line)), want) // the name before the colon
	}
	is.True(EndsHeader([]byte("\n")) && EndsHeader([]byte("\r\n"))) // both kinds of line ends
	is.True(EndsHeader([]byte("\r\r\n")) && !EndsHeader([]byte("\r")) && !EndsHeader([]byte("")))
}

func TestAnEnvelopeWithABadRecipient(t *testing.T) {
	is := is.New(t)
	env := Envelope{From: "f@x", To: []string{"a b", "a@x"}}
	_, err := env.AppendLine(nil)
	is.True(err != nil) // AppendLine refuses the envelope
	line, err := env.AppendAnyLine(nil)
	is.NoErr(err)
	h, err := ReadHeader(strings.NewReader(string(line)), int64(len(line)))
	is.NoErr(err)
	a := h.Addresses()
	is.NoErr(a.FromErr)
	is.Equal(len(a.To), 2)
	is.True(a.To[0].Err != nil && a.To[1].Err == nil) // only the bad recipient has an error
}
