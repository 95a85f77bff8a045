package sink

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// transcript gives input to a new session in pieces of size octets and returns the codes of the replies.
func transcript(s *Server, input string, size int) (codes string, sess *session) {
	sess = &session{server: s}
	for len(input) > 0 {
		n := min(size, len(input))
		sess.feed([]byte(input[:n]))
		input = input[n:]
	}
	var all []string
	for line := range strings.Lines(string(sess.out)) {
		if line[3] == ' ' {
			all = append(all, line[:3])
		}
	}
	return strings.Join(all, " "), sess
}

func TestSession(t *testing.T) {
	const begin = "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n"
	for _, c := range []struct {
		name, input, codes string
		messages, bytes    int64
	}{
		{"pipelined", "EHLO x\r\n" + begin + "DATA\r\nX-Bench-Id: 7\r\n\r\nhi\r\n.\r\nQUIT\r\n", "250 250 250 354 250 221", 1, 21},
		{"empty message", begin + "DATA\r\n.\r\n", "250 250 354 250", 1, 0},
		{"dots inside", begin + "DATA\r\n..\r\n.a\r\n\r.\r\nb.\r\n\n.\r\n.\r\n", "250 250 354 250", 1, 4 + 4 + 4 + 4 + 4},
		{"dot and CR, not the end", begin + "DATA\r\n.\rx\r\n.\r\r\n.\r\n", "250 250 354 250", 1, 5 + 4},
		{"two behind each other", begin + "DATA\r\na\r\n.\r\nRSET\r\n" + begin + "DATA\r\nb\r\n.\r\n", "250 250 354 250 250 250 250 354 250", 2, 6},
		{"one chunk", begin + "BDAT 5 LAST\r\n.\r\n\r\nQUIT\r\n", "250 250 250 221", 1, 5},
		{"chunks", begin + "BDAT 3\r\n\r\n.BDAT 2\r\n\r\nBDAT 0 LAST\r\nNOOP\r\n", "250 250 250 250 250 250", 1, 5},
		{"chunk without a recipient", "MAIL FROM:<a@x>\r\nBDAT 4 LAST\r\nQUITQUIT\r\n", "250 503 221", 0, 0},
		{"chunk that is none", begin + "BDAT x\r\nQUIT\r\n", "250 250 501", 0, 0},
		{"DATA without a recipient", "MAIL FROM:<a@x>\r\nDATA\r\nQUIT\r\n", "250 503 221", 0, 0},
		{"DATA behind a chunk", begin + "BDAT 1\r\nxDATA\r\nRSET\r\n", "250 250 250 503 250", 0, 0},
		{"second MAIL", "MAIL FROM:<>\r\nMAIL FROM:<>\r\n", "250 503", 0, 0},
		{"lower case, bare LF", "helo x\nmail from:<>\nrcpt to:<b@y>\nbdat 1 last\nx", "250 250 250 250", 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for size := 1; size <= len(c.input); size++ { // pieces of any size
				s := New(Config{})
				codes, _ := transcript(s, c.input, size)
				sum := s.Summary()
				if codes != c.codes || sum.Messages != c.messages || sum.Bytes != c.bytes {
					t.Fatalf("in pieces of %d: answers %q, %d messages of %d octets; want %q, %d, %d",
						size, codes, sum.Messages, sum.Bytes, c.codes, c.messages, c.bytes)
				}
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	s := New(Config{Refuse: true})
	codes, _ := transcript(s, "MAIL FROM:<>\r\nRCPT TO:<b@y>\r\nDATA\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<b@y>\r\nBDAT 1 LAST\r\nxQUIT\r\n", 1000)
	if want := "250 450 503 250 250 450 503 221"; codes != want {
		t.Errorf("answers %q, want %q", codes, want)
	}
	if sum := s.Summary(); sum.Refused != 2 || sum.BadCommands != 0 || sum.Messages != 0 {
		t.Errorf("refused %d recipients, %d bad commands, %d messages; want 2, 0, 0", sum.Refused, sum.BadCommands, sum.Messages)
	}
}

func TestSomeAddressesAreRefusedForGood(t *testing.T) {
	s := New(Config{Reject: "no"})
	codes, _ := transcript(s, "MAIL FROM:<>\r\nRCPT TO:<no1@y>\r\nDATA\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<no2@y>\r\nRCPT TO:<b@y>\r\n"+
		"BDAT 1 LAST\r\nxMAIL FROM:<>\r\nDATA\r\nQUIT\r\n", 1000)
	if want := "250 550 503 250 250 550 250 250 250 503 221"; codes != want {
		t.Errorf("answers %q, want %q", codes, want)
	}
	// DATA without a recipient is an error of the client.
	if sum := s.Summary(); sum.Refused != 2 || sum.BadCommands != 1 || sum.Messages != 1 {
		t.Errorf("refused %d recipients, %d bad commands, %d messages; want 2, 1, 1", sum.Refused, sum.BadCommands, sum.Messages)
	}
}

// While a client that pipelines is within a chunk or a command, it does not wait for replies.
func TestWaits(t *testing.T) {
	const begin = "MAIL FROM:<a@x>\r\nRCPT TO:<b@y>\r\n"
	for input, want := range map[string]bool{
		begin:                        true,
		begin + "DA":                 false,
		begin + "DATA\r\n":           true,
		begin + "DATA\r\nx":          false,
		begin + "DATA\r\nx\r\n.\r\n": true,
		begin + "BDAT 2\r\nx":        false,
		begin + "BDAT 2\r\nxy":       true,
	} {
		if _, sess := transcript(New(Config{}), input, len(input)); sess.waits() != want {
			t.Errorf("behind %q the client waits: %v, want %v", input, !want, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for head, want := range map[string]int{
		"X-Bench-Id: 12\r\n":                   12,
		"Subject: x\r\nX-Bench-Id: 0\r\nA: b":  0,
		"Subject: X-Bench-Id: 3\r\n":           -1,
		"X-Bench-Id: \r\n":                     -1,
		"X-Bench-Id: 99999999999999999999\r\n": -1,
		"":                                     -1,
	} {
		if n := number([]byte(head)); n != want {
			t.Errorf("number of %q is %d, want %d", head, n, want)
		}
	}
}

// serve starts s and returns its address.
func serve(t *testing.T, s *Server) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

// talk sends each flight after the replies to the flight before, and returns the time for all flights. The first reply
// is the greeting.
func talk(t *testing.T, addr string, flights ...string) time.Duration {
	t.Helper()
	start := time.Now()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	await := func(n int) {
		for range n {
			if _, err := r.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
	}
	await(1)
	for _, f := range flights {
		fmt.Fprint(conn, f)
		await(strings.Count(f, "\r\n"))
	}
	return time.Since(start)
}

// Every flight is a round trip and takes the latency once, whatever it contains.
func TestRoundTrips(t *testing.T) {
	const latency = 30 * time.Millisecond
	const whole = "MAIL FROM:<>\r\nRCPT TO:<b@y>\r\nBDAT 19 LAST\r\nX-Bench-Id: 1 12345"
	for _, c := range []struct {
		name   string
		config Config
	}{{"at once", Config{}}, {"late", Config{Latency: latency}}} {
		t.Run(c.name, func(t *testing.T) {
			s := New(c.config)
			took := talk(t, serve(t, s), "HELO x\r\n", whole, "RSET\r\n"+whole, "QUIT\r\n")
			sum := s.Summary()
			if sum.RoundTrips != 4 || sum.Messages != 2 || sum.Duplicates != 1 || sum.Distinct != 1 || sum.HeldPeak != 1 {
				t.Errorf("%+v; want 4 round trips, 2 messages, 1 of them twice, 1 held", sum)
			}
			if want := 5 * c.config.Latency; took < want || took > want+5*latency {
				t.Errorf("took %v, want about %v: the greeting and four flights", took, want)
			}
		})
	}
}

func TestMaxConns(t *testing.T) {
	s := New(Config{MaxConns: 1})
	addr := serve(t, s)
	first, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	bufio.NewReader(first).ReadString('\n') // the connection is counted when it is greeted
	second, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if line, _ := bufio.NewReader(second).ReadString('\n'); !strings.HasPrefix(line, "421 ") {
		t.Errorf("the second connection is greeted with %q, want 421", line)
	}
}
