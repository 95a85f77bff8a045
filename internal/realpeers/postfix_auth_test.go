package realpeers

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/matryer/is"
)

// serveAuth answers on a Unix socket when Postfix asks whether a user may log in. Postfix uses the protocol of Dovecot:
// lines of words separated by tabs.
func serveAuth(t *testing.T, path string) {
	is := is.New(t)
	l, err := net.Listen("unix", path)
	is.NoErr(err)
	is.NoErr(os.Chmod(path, 0o666)) // Postfix does not ask as root
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { answerAuth(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait() // cleanups run in reverse order: Postfix has ended before
	})
}

// answerAuth answers the requests on conn until it ends.
func answerAuth(conn net.Conn) {
	defer conn.Close()
	fmt.Fprint(conn, "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t1\nDONE\n")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		words := strings.Split(lines.Text(), "\t")
		if words[0] != "AUTH" || len(words) < 3 {
			continue // VERSION and CPID need no answer
		}
		response := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
		if words[2] == "PLAIN" && slices.Contains(words, "resp="+response) {
			fmt.Fprintf(conn, "OK\t%s\tuser=%s\n", words[1], user)
		} else {
			fmt.Fprintf(conn, "FAIL\t%s\tuser=%s\n", words[1], user)
		}
	}
}
