package smtpclient

import (
	"errors"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestCheckAddress(t *testing.T) {
	for addr, good := range map[string]bool{
		"":                        true, // the null sender
		"a@x.test":                true,
		"root":                    true,
		`"a b>\"<c"@x`:            true,
		`"\\"@x`:                  true,
		"jürgen@müller.test":      true,
		"a@[IPv6:::1]":            true,
		"a b@x":                   false,
		"a@x>":                    false,
		"<a@x":                    false,
		"a@x\r\nDATA":             false,
		"\"a\nb\"@x":              false,
		"a\x00@x":                 false,
		"a\x7f@x":                 false,
		"a\u0085@x":               false, // a line end for some programs
		"a\xff@x":                 false,
		`"a@x`:                    false,
		`"a\"@x`:                  false,
		`"\\"" >x`:                false,
		`a\"> SIZE=1 "@x`:         false, // not quoted for some programs
		"a@x> NOTIFY=NEVER":       false,
		`"a"> ORCPT=rfc822;"b"@x`: false,
	} {
		t.Run(addr, func(t *testing.T) {
			is := is.New(t)
			err := checkAddress(addr)
			is.Equal(err == nil, good)                  // an address that could end a command early is refused
			is.Equal(errors.Is(err, ErrAddress), !good) // with an error that can be recognized
		})
	}
}

// Between < and > no address ends early: the first > outside of quotes is the one after the address, and the command is
// one line.
func FuzzCheckAddress(f *testing.F) {
	for _, seed := range []string{"a@x", `"a\"b"@x`, `a\">"@x`, "ü@x", "\"\"@x", "a> b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, addr string) {
		if checkAddress(addr) != nil {
			return
		}
		if strings.ContainsAny(addr, "\r\n\x00") {
			t.Fatalf("%q passed", addr)
		}
		quoted := false
		for i := 0; i < len(addr); i++ {
			switch {
			case addr[i] == '\\' && quoted:
				i++
			case addr[i] == '"':
				quoted = !quoted
			case strings.IndexByte("<> \\", addr[i]) >= 0 && !quoted:
				t.Fatalf("%q ends at %d", addr, i)
			}
		}
		if quoted {
			t.Fatalf("%q does not end", addr)
		}
	})
}

func TestXtext(t *testing.T) {
	is := is.New(t)
	is.Equal(xtext("a+b=c d\r\n\x7fü~!"), "a+2Bb+3Dc+20d+0D+0A+7F+C3+BC~!") // RFC 3461: nothing but printable ASCII
	is.Equal(unicodeXtext(`a+\ü €`), `a\x{2B}\x{5C}\x{FC}\x{20}\x{20AC}`)   // RFC 6533: code points
}

func TestOriginalRecipient(t *testing.T) {
	for orcpt, want := range map[string]string{
		"":                       "",
		"a@x":                    "rfc822;a@x",
		"RFC822;a@x":             "RFC822;a@x",
		"utf-8;a@x":              "utf-8;a@x",
		"x400;/c=de/":            "x400;/c+3Dde/",
		`"a;b"@x`:                `rfc822;"a;b"@x`,
		"rfc822;ü@x":             `utf-8;\x{FC}@x`,
		"a@x\r\nDATA":            "rfc822;a@x+0D+0ADATA",
		"a b;c@x":                "rfc822;a+20b;c@x",
		strings.Repeat("x", 493): "rfc822;" + strings.Repeat("x", 493),
		strings.Repeat("x", 494): "",
	} {
		t.Run(orcpt, func(t *testing.T) {
			is := is.New(t)
			is.Equal(originalRecipient(orcpt), want) // with its type, encoded, within the limit
		})
	}
}

func TestNeedsUTF8(t *testing.T) {
	is := is.New(t)
	for addr, want := range map[string]bool{"": false, "a@x.org": false, "a@münchen.example": false, "grüße@x.org": true, "grüße@münchen.example": true} {
		// an address can be sent without SMTPUTF8 if only its domain has letters beyond ASCII
		is.Equal(NeedsUTF8(addr), want)
	}
}
