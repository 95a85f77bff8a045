package fleet

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/textline"
)

// Schema returns the SQL statements that make the schema, for a database in which Open may not.
func Schema() string { return store.Schema() }

// listPage is the number of messages that List reads at a time.
const listPage = 1000

// List writes a line for each message: name, state, host, age, sender, number of recipients that wait, and reason.
func (q *Queue) List(ctx context.Context, w io.Writer) error {
	states := []string{"ready", "waiting", "sending", "held", "failed"}
	for after := int64(0); ; {
		page, err := q.store.List(ctx, after, listPage, []int{0, 1, 2, 3, 4})
		if err != nil {
			return fmt.Errorf("fleet: list: %w", err)
		}
		for _, m := range page {
			after = m.ID
			age := time.Since(m.Created).Round(time.Second)
			_, err := fmt.Fprintf(w, "%d\t%s\t%s\t%s\t<%s>\t%d\t%s\n", m.ID, states[m.State], oneLine(m.Host), age,
				oneLine(m.Sender), m.Rcpts, oneLine(m.Reason))
			if err != nil {
				return err
			}
		}
		if len(page) < listPage {
			return nil
		}
	}
}

// Hosts writes a line for each worker: name, time since the last beat, messages that it has, and its relays.
func (q *Queue) Hosts(ctx context.Context, w io.Writer) error {
	all, err := q.store.Workers(ctx)
	if err != nil {
		return fmt.Errorf("fleet: hosts: %w", err)
	}
	for _, x := range all {
		var status struct {
			Relays []struct{ Name, Trouble string }
		}
		_ = json.Unmarshal(x.Status, &status) // text of another version shows no relays
		state := "alive"
		if !x.Alive {
			state = "dead"
		}
		line := fmt.Sprintf("%s\t%s\t%s\t%d", oneLine(x.Name), state, x.Age.Round(time.Millisecond), x.Leased)
		for _, r := range status.Relays {
			line += "\t" + oneLine(r.Name)
			if r.Trouble != "" {
				line += ": " + oneLine(r.Trouble)
			}
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// oneLine returns text of unknown origin in one line.
func oneLine(text string) string { return textline.Of(text, 500) }
