package engine

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/queue"
)

// A transaction with more than 20 recipients is logged with one line for each different reply, in whatever order the
// replies come.
func TestManyRecipientsShareLogLines(t *testing.T) {
	now := time.Now()
	event := func(kind queue.Kind, to int, reply string) queue.Event {
		ev := queue.Event{Kind: kind, Time: now, File: "m", From: "a@x.org", To: fmt.Sprintf("r%d@x.org", to), Attempt: 1}
		ev.Outcome.Reply = reply
		if kind != queue.Sent && kind != queue.Queued {
			ev.Err, ev.Outcome.Fault = errors.New(reply), attempt.Recipient
		}
		return ev
	}
	for name, tt := range map[string]struct {
		recipients int
		event      func(i int) queue.Event
		lines      int
	}{
		"queued":             {1000, func(i int) queue.Event { return event(queue.Queued, i, "") }, 1},
		"few":                {20, func(i int) queue.Event { return event(queue.Failed, i, "550 no") }, 20},
		"one reply":          {21, func(i int) queue.Event { return event(queue.Failed, i, "550 no") }, 1},
		"two replies, mixed": {1000, func(i int) queue.Event { return event(queue.Failed, i, []string{"550 a", "550 b"}[i%2]) }, 2},
		"accepted, deferred and given up, mixed": {999, func(i int) queue.Event {
			return event([]queue.Kind{queue.Sent, queue.Deferred, queue.Failed}[i%3], i, "x")
		}, 3},
		"own reply each": {30, func(i int) queue.Event { return event(queue.Failed, i, fmt.Sprint("550 ", i)) }, 30},
		"two transactions": {40, func(i int) queue.Event {
			ev := event(queue.Failed, i, "550 no")
			ev.Attempt = 1 + i/20
			return ev
		}, 40},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			var log bytes.Buffer
			seen := 0
			p := publisher{opts: &Options{
				Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
				OnEvent: func(ev queue.Event) {
					is.True(ev.To == fmt.Sprintf("r%d@x.org", seen)) // in order
					seen++
				},
			}}
			var events []queue.Event
			for i := range tt.recipients {
				events = append(events, tt.event(i))
			}
			p.publish(events)
			is.Equal(seen, tt.recipients)                         // the application gets each event
			is.Equal(strings.Count(log.String(), "\n"), tt.lines) // the log has one line for each reply
			if tt.lines == 1 && tt.recipients > 1 {
				is.True(strings.Contains(log.String(), fmt.Sprintf("recipients=%d", tt.recipients)))
			}
		})
	}
}
