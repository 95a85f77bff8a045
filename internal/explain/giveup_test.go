package explain

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
)

// explain says of a file that the daemon gives up that the file goes to failed/, also if it was written a moment ago.
func TestFilesThatAreGivenUp(t *testing.T) {
	const message = "From: a@x.org\nTo: b@x.org, c@x.org\n\nhi\n"
	const mbox = "From a@x.org Thu Jan  1 00:00:00 1970\n" + message + "\n"
	for name, c := range map[string]struct {
		file string
		opts spoolgore.Options
		want string
	}{
		"several messages": {mbox + mbox, spoolgore.Options{}, "spoolgore put splits it) and would go to failed/"},
		"a loop":           {strings.Repeat("Received: x\n", 51) + message, spoolgore.Options{}, "more than 50 Received fields) and would go to failed/"},
		"many recipients":  {message, spoolgore.Options{MaxRecipients: 1}, "it would go to failed/ at once, because it has 2 recipients, more than 1 (-maxrecipients)"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			dir := t.TempDir()
			says(t, explained(t, write(t, dir, "old", c.file), c.opts), c.want)
			path := filepath.Join(dir, "new")
			is.NoErr(os.WriteFile(path, []byte(c.file), 0o600))
			says(t, explained(t, path, c.opts), c.want)
			c.opts.SMTPAddr = "relay.test:25"
			p, err := Open(path, c.opts, time.Now())
			is.NoErr(err)
			defer p.Close()
			is.True(!p.Sendable())
		})
	}
}

// Each field of a pickup file is shown once, and dots are removed as with -pickupdots.
func TestPickupFile(t *testing.T) {
	is := is.New(t)
	const file = "X-Sender: a@x.org\r\nX-Receiver: b@x.org\r\nFrom: a@x.org\r\n\r\n..dot\r\n"
	path := write(t, t.TempDir(), "m", file)
	shown := explained(t, path, spoolgore.Options{})
	is.Equal(strings.Count(shown, "left out    X-Sender: a@x.org\n"), 1)
	is.Equal(strings.Count(shown, "left out    X-Receiver: b@x.org\n"), 1)
	is.True(sizeIn(t, shown) == sizeIn(t, explained(t, path, spoolgore.Options{PickupDots: true}))+1)
}

// sizeIn returns the number of bytes to send in an output.
func sizeIn(t *testing.T, shown string) (n int) {
	t.Helper()
	_, rest, _ := strings.Cut(shown, "What is sent: ")
	if _, err := fmt.Sscan(rest, &n); err != nil {
		t.Fatal(err, shown)
	}
	return n
}
