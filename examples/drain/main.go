// Command drain is an example of a job without a daemon, as cron or a systemd timer runs it: it puts a report and sends
// everything that is due. Mail that could not be sent is tried by the next run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/unbit/spoolgore"
)

func main() {
	dir := flag.String("spool", "spool", "spool `directory`")
	relay := flag.String("relay", "127.0.0.1:25", "`relay` to send through")
	to := flag.String("to", "root@localhost", "`address` for the report")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, spoolgore.New(*dir, spoolgore.Options{SMTPAddr: *relay, Create: true}), *to); err != nil {
		log.Fatal(err)
	}
}

// run puts a report for to, one a day, and sends. Another run at the same time sends the report, too.
func run(ctx context.Context, spool *spoolgore.Spool, to string) error {
	day := time.Now().Format(time.DateOnly)
	env := spoolgore.Envelope{From: "reports@example.com", To: []string{to}, ID: "report " + day}
	text := fmt.Sprintf("From: reports@example.com\nTo: %s\nSubject: Report of %s\n\nAll is well.\n", to, day)
	if _, err := spool.Put(ctx, env, strings.NewReader(text)); err != nil && !errors.Is(err, spoolgore.ErrDuplicate) {
		return err
	}
	if err := spool.Drain(ctx); err != nil && !errors.Is(err, spoolgore.ErrRunning) {
		return err // such as: no relay can be used; the report stays
	}
	return nil
}
