package record

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// bigStatus returns a status file of several blocks with braces, quotes and escapes in strings.
func bigStatus(n int) string {
	var b strings.Builder
	b.WriteString("{")
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		fmt.Fprintf(&b, "\n\"/spool/%d \\\" \\\\\": {\"From\": \"a@x.org\", \"To\": [{\"Address\": \"r%d@x.org\", \"Status\": 0, \"Error\": %q}]}",
			i, i, strings.Repeat("} ]\" \\", i%50))
	}
	b.WriteString("\n}\n")
	return b.String()
}

func TestParallelDecodingIsThatOfOneGoroutine(t *testing.T) {
	is := is.New(t)
	text := bigStatus(10_000)
	is.True(len(text) > 4*blockSize)
	read := func(decode func(func(string, *Message) error) error) (all []string) {
		is.NoErr(decode(func(key string, m *Message) error {
			all = append(all, fmt.Sprint(key, m.From, m.To))
			return nil
		}))
		return all
	}
	var n int
	got := read(func(each func(string, *Message) error) (err error) {
		n, err = decodeParallel(strings.NewReader(text), maxEntry, each)
		return err
	})
	is.Equal(n, 10_000)
	is.Equal(got, read(func(each func(string, *Message) error) error {
		return decodeSlowly(strings.NewReader(text), maxEntry, each)
	}))
}

// For any form and any damage, messages and error are those of decoding in one goroutine.
func TestIrregularStatusFiles(t *testing.T) {
	big := bigStatus(5_000)
	for name, text := range map[string]string{
		"empty": "", "null": "null", "nothing": "{}", "spaces": " \n{ } \n", "one": `{"/a":{}}`, "null message": `{"/a":null}`,
		"torn": big[:len(big)/2], "torn in the first block": big[:1000], "end missing": strings.TrimSuffix(big, "}\n"),
		"damaged": strings.Replace(big, `"/spool/4000 `, `"/spool/4000" x`, 1), "more behind": big + "x", "two": "{}{}",
		"comma": `{"/a":{},}`, "no comma": `{"/a":{} "/b":{}}`, "array": `[]`, "status": `{"/a":{},"/b":{"To":[{"Status":9}]}}`,
		"wrong type": `{"/a":{},"/b":{"To":7}}`, "key": `{7:{}}`, "bracket": `{"/a":{"To":[}}`,
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			count := func(decode func(func(string, *Message) error) error) (n int, said string) {
				err := decode(func(string, *Message) error { n++; return nil })
				return n, fmt.Sprint(err)
			}
			n, err := count(func(each func(string, *Message) error) error { return DecodeLiveStatus(strings.NewReader(text), each) })
			wantN, wantErr := count(func(each func(string, *Message) error) error {
				return decodeSlowly(strings.NewReader(text), maxEntry, each)
			})
			is.Equal(err, wantErr)
			is.Equal(n, wantN)
		})
	}
}

func TestParallelDecodingEndsEarly(t *testing.T) {
	is := is.New(t)
	enough := errors.New("enough")
	n := 0
	err := DecodeLiveStatus(strings.NewReader(bigStatus(20_000)), func(string, *Message) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	})
	is.Equal(err, enough)
	is.Equal(n, 3)
}
