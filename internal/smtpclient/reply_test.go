package smtpclient

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
)

func parse(text string) (attempt.Reply, error) {
	return readReply(newLineReader(strings.NewReader(text)), nil)
}

func TestReplies(t *testing.T) {
	for text, want := range map[string]attempt.Reply{
		"250 ok\r\n":                 {Code: 250, Text: "ok"},
		"250 ok\n":                   {Code: 250, Text: "ok"},
		"250\r\n":                    {Code: 250},
		"250 \r\n":                   {Code: 250},
		"452 4.5.3\r\n":              {Code: 452, Enhanced: "4.5.3"},
		"550 5.1.1 no such user\r\n": {Code: 550, Enhanced: "5.1.1", Text: "no such user"},
		"550-5.1.1 no\r\n550-5.1.1\r\n550 5.1.1 user\r\n":                   {Code: 550, Enhanced: "5.1.1", Text: "no user"},
		"550-5.1.1 no\r\n550 user 5.1.1\r\n":                                {Code: 550, Enhanced: "5.1.1", Text: "no user 5.1.1"},
		"\r\n \n250 ok\r\n":                                                 {Code: 250, Text: "ok"},
		"250-2.0.0 ok\r\n  queued as 1\r\n\r\n2024 x\r\n250 2.0.0 done\r\n": {Code: 250, Enhanced: "2.0.0", Text: "ok queued as 1 2024 x done"},
		"550-no\r\n550 5.1.1 user\r\n":                                      {Code: 550, Text: "no 5.1.1 user"},
		"550 4.1.1 other class\r\n":                                         {Code: 550, Text: "4.1.1 other class"},
		"354 3.0.0 no such class\r\n":                                       {Code: 354, Text: "3.0.0 no such class"},
		"550 5.1 short\r\n":                                                 {Code: 550, Text: "5.1 short"},
		"550 5.1.1.1 long\r\n":                                              {Code: 550, Text: "5.1.1.1 long"},
		"550 5.1234.1 long\r\n":                                             {Code: 550, Text: "5.1234.1 long"},
		"550 5..1 empty\r\n":                                                {Code: 550, Text: "5..1 empty"},
		"550 5.7.123 three\r\n":                                             {Code: 550, Enhanced: "5.7.123", Text: "three"},
		"550 a\tb\x00c\x1b[1m\r\n":                                          {Code: 550, Text: "a b?c?[1m"},
		"550 \xff\xc3\xbc\u0085\r\n":                                        {Code: 550, Text: "?ü?"},
		"250 2.0.0 " + strings.Repeat("x", 2*maxLine) + "\r\n":              {Code: 250, Enhanced: "2.0.0", Text: strings.Repeat("x", maxText)},
		"250-" + strings.Repeat("x", 2*maxLine) + "\r\n250 ok\r\n":          {Code: 250, Text: strings.Repeat("x", maxText)},
		"550-" + strings.Repeat("x", 400) + "\r\n550 " + strings.Repeat("ü", 1000) + "\r\n": {Code: 550, Text: strings.Repeat("x", 400) + " " + strings.Repeat("ü", 55)},
	} {
		t.Run(text[:min(len(text), 40)], func(t *testing.T) {
			is := is.New(t)
			reply, err := parse(text)
			is.NoErr(err)         // a valid reply
			is.Equal(reply, want) // code, enhanced code and text
		})
	}
}

func TestNoReplies(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":       "",
		"no line end":   "250 ok",
		"empty line":    "\r\n",
		"short":         "25\r\n",
		"no number":     "2x0 ok\r\n",
		"sign":          "+50 ok\r\n",
		"1yz":           "150 ok\r\n",
		"6yz":           "650 ok\r\n",
		"four digits":   "2500 ok\r\n",
		"no space":      "250ok\r\n",
		"no last line":  "250-ok\r\n",
		"other code":    "250-ok\r\n251 ok\r\n",
		"garbage after": "250-ok\r\nok\r\n",
		"endless line":  "250 " + strings.Repeat("x", maxReply+2*maxLine) + "\r\n",
		"long lines":    strings.Repeat("250-"+strings.Repeat("x", 2*maxLine)+"\r\n", maxReply/maxLine/2) + "250 x\r\n",
		"many lines":    strings.Repeat("250-x\r\n", maxReply/7+1) + "250 x\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			reply, err := parse(text)
			is.True(err != nil)              // an invalid reply
			is.Equal(reply, attempt.Reply{}) // nothing of it is used
			is.True(len(err.Error()) < 400)  // and the error is short
		})
	}
}

func TestReplyString(t *testing.T) {
	is := is.New(t)
	is.Equal(attempt.Reply{}.String(), "")                                      // no reply
	is.Equal(attempt.Reply{Code: 250}.String(), "250")                          // a code alone
	is.Equal(attempt.Reply{Code: 452, Enhanced: "4.5.3"}.String(), "452 4.5.3") // with an enhanced code
}

// For any input: no panic, no more is read than the limits allow, and the reply is short, valid, on one line, and has
// consistent codes. The result of String is read as the same codes again.
func FuzzReply(f *testing.F) {
	for _, seed := range []string{"250 ok\r\n", "550-5.1.1 a\r\n550 5.1.1 b\r\n", "452 4.5.3\r\n", "250\n", "250-\r\n", "\x00", "250 \xff\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		in := strings.NewReader(text)
		reply, err := readReply(newLineReader(in), func(string) {})
		if read := len(text) - in.Len(); read > 2*(maxReply+maxLine) {
			t.Fatalf("read %d octets", read)
		}
		if err != nil {
			return
		}
		if reply.Code < 200 || reply.Code > 599 || len(reply.Text) > maxText || !utf8.ValidString(reply.Text) ||
			strings.ContainsFunc(reply.Text, unicode.IsControl) {
			t.Fatalf("bad reply %+v", reply)
		}
		if e := reply.Enhanced; e != "" && (len(e) > 9 || e[0] != strings.TrimLeft(text, " \t\r\n")[0]) {
			t.Fatalf("bad enhanced code %q", e)
		}
		more := newLineReader(strings.NewReader(reply.String() + "\n"))
		more.limit = 2 * maxLine
		again, err := readReply(more, nil)
		if err != nil || again.Code != reply.Code || reply.Enhanced != "" && again.Enhanced != reply.Enhanced {
			t.Fatalf("%+v became %+v, %v", reply, again, err)
		}
	})
}
