//go:build unix

package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// TestKilledWriters kills a writer in the middle of a message.
func TestKilledWriters(t *testing.T) {
	t.Parallel()
	for how, sent := range map[string]string{
		withPut:    "",
		throughTmp: "",
		inPlace:    firstHalf, // the part cannot be told from a whole message: tmp/ prevents that
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			is := is.New(t)
			relay, spool := &smtptest.Relay{}, t.TempDir()
			must(t, os.Mkdir(filepath.Join(spool, "tmp"), 0o700))
			start(t, "-smtpaddr", relay.Listen(t), "-freq", "100ms", spool).logs("msg=started", 1)

			cmd := exec.Command(os.Args[0], spool)
			cmd.Env = append(os.Environ(), asWriter+"="+how)
			in, err := cmd.StdinPipe() // stays open
			is.NoErr(err)
			defer in.Close()
			out, err := cmd.StdoutPipe()
			is.NoErr(err)
			is.NoErr(cmd.Start())
			line, err := bufio.NewReader(out).ReadString('\n')
			is.NoErr(err)
			is.Equal(line, "half\n")
			throughout(t, time.Second, "nothing is sent in the middle", func() bool { return len(relay.Messages()) == 0 })
			is.NoErr(cmd.Process.Kill())
			is.True(cmd.Wait() != nil) // it was killed

			drop(t, spool, "good.eml", mail("To: bob@example.com"))
			want := 1
			if sent != "" {
				want++
			}
			eventually(t, "each whole message is sent", func() bool { return len(relay.Messages()) >= want })
			throughout(t, time.Second, "and nothing else", func() bool { return len(relay.Messages()) == want })
			for _, m := range relay.Messages() {
				if m.To[0] == "ann@example.com" {
					is.True(strings.HasSuffix(string(m.Data), strings.ReplaceAll(sent[strings.Index(sent, "\n\n"):], "\n", "\r\n")))
				} else {
					is.Equal(m.To, []string{"bob@example.com"})
				}
			}
		})
	}
}
