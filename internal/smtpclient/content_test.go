package smtpclient

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// pipe returns both ends of a connection in memory. They are closed at the end of the test.
func pipe(t testing.TB) (client, server net.Conn) {
	client, server = net.Pipe()
	t.Cleanup(func() { _ = errors.Join(client.Close(), server.Close()) })
	return client, server
}

func TestDotStuffing(t *testing.T) {
	for in, want := range map[string]string{
		"":                     ".\r\n",
		"a\r\n":                "a\r\n.\r\n",
		".\r\n":                "..\r\n.\r\n",
		"..\r\n":               "...\r\n.\r\n",
		".a\r\n.b\r\n":         "..a\r\n..b\r\n.\r\n",
		"a.\r\n":               "a.\r\n.\r\n",
		"\r\n.\r\n":            "\r\n..\r\n.\r\n",
		"\r\n\r\n.":            "\r\n\r\n..\r\n.\r\n", // the last line gets a line end
		"a":                    "a\r\n.\r\n",
		"a\r":                  "a\r\n.\r\n",
		"a\r\n.\r\n.\r\n.\r\n": "a\r\n..\r\n..\r\n..\r\n.\r\n",
	} {
		t.Run(in, func(t *testing.T) {
			for cut := range len(in) + 1 { // for reads of any size
				is := is.New(t)
				var out bytes.Buffer
				content := io.MultiReader(strings.NewReader(in[:cut]), strings.NewReader(in[cut:]))
				is.NoErr(sendContent(&out, content, int64(len(in)))) // no error
				is.Equal(out.String(), want)                         // dots are doubled, the end is added
			}
		})
	}
}

// The result ends with CRLF.CRLF and has this sequence nowhere before. Undone, it is the input, with CRLF after the
// last line. It does not depend on the sizes of the reads.
func FuzzDotStuff(f *testing.F) {
	for _, seed := range []string{"", ".", "a\r\n.\r\nb", "\r\n..\r\n", "\r.\n.", "\r\n\r", ".\r\n.\r\n"} {
		f.Add([]byte(seed), 1)
	}
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		var whole, cut bytes.Buffer
		if err := sendContent(&whole, bytes.NewReader(in), 0); err != nil {
			t.Fatal(err)
		}
		if err := sendContent(&cut, &chunks{in, max(1, size%64)}, 0); err != nil || !bytes.Equal(whole.Bytes(), cut.Bytes()) {
			t.Fatalf("cut by %d: %q, whole: %q, %v", size, cut.Bytes(), whole.Bytes(), err)
		}
		out := append([]byte("\r\n"), whole.Bytes()...)
		end := []byte("\r\n.\r\n")
		if bytes.Index(out, end) != len(out)-len(end) {
			t.Fatalf("%q does not end where it should", out)
		}
		plain := bytes.ReplaceAll(out[:len(out)-3], []byte("\r\n."), []byte("\r\n"))[2:]
		want := in
		switch {
		case bytes.HasSuffix(in, []byte("\r")):
			want = append(bytes.Clone(in), '\n')
		case len(in) > 0 && !bytes.HasSuffix(in, []byte("\r\n")):
			want = append(bytes.Clone(in), "\r\n"...)
		}
		if !bytes.Equal(plain, want) {
			t.Fatalf("%q became %q", want, plain)
		}
	})
}

// chunks is a reader that returns a few octets at a time.
type chunks struct {
	rest []byte
	size int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.rest[:min(c.size, len(c.rest))])
	c.rest = c.rest[n:]
	return n, nil
}

func BenchmarkDotStuff(b *testing.B) {
	for name, line := range map[string]string{
		"text": strings.Repeat("x", 76) + "\r\n",
		"dots": ".\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			content := []byte(strings.Repeat(line, (1<<20)/len(line)))
			r := bytes.NewReader(content)
			b.SetBytes(int64(len(content)))
			b.ReportAllocs()
			for b.Loop() {
				r.Reset(content)
				if err := sendContent(io.Discard, r, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkTransact sends a message of 4 KiB on an open connection over loopback. The figures are of client and relay
// together.
func BenchmarkTransact(b *testing.B) {
	r := &smtptest.Relay{Reply: script(map[string]string{"END": "451 4.3.0 thrown away"})}
	nc, err := net.Dial("tcp", r.Listen(b))
	if err != nil {
		b.Fatal(err)
	}
	c, err := Connect(context.Background(), nc, Config{LocalName: "client.test"})
	if err != nil {
		b.Fatal(err)
	}
	content := []byte(strings.Repeat(strings.Repeat("x", 62)+"\r\n", 64))
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		results := c.Transact(context.Background(), &Transaction{From: "a@x.test", To: []string{"b@x.test"},
			Size: int64(len(content)), Content: bytes.NewReader(content)})
		if results[0].Err.Op != attempt.OpEnd {
			b.Fatal(results[0].Err)
		}
	}
	_ = c.Quit()
}

// BenchmarkTransactClient uses a relay that allocates no memory: the allocations are those of the client.
func BenchmarkTransactClient(b *testing.B) {
	client, server := pipe(b)
	go answerAll(server)
	c, err := Connect(context.Background(), client, Config{LocalName: "client.test"})
	if err != nil {
		b.Fatal(err)
	}
	content := []byte(strings.Repeat(strings.Repeat("x", 62)+"\r\n", 64))
	x := &Transaction{From: "a@x.test", To: []string{"b@x.test"}, Size: int64(len(content))}
	r := bytes.NewReader(nil)
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(content)
		x.Content = r
		if results := c.Transact(context.Background(), x); results[0].Err != nil {
			b.Fatal(results[0].Err)
		}
	}
}

// answerAll replies positively to each write of a client that makes one write for each step.
func answerAll(server net.Conn) {
	buf := make([]byte, 16<<10)
	_, err := server.Write([]byte("220 hi\r\n"))
	for n := 0; err == nil; {
		if n, err = server.Read(buf); err != nil {
			return
		}
		if bytes.HasPrefix(buf[:n], []byte("DATA")) {
			_, err = server.Write([]byte("354 go\r\n"))
		} else {
			_, err = server.Write([]byte("250 2.0.0 ok\r\n"))
		}
	}
}
