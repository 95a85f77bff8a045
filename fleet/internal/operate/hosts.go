package operate

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
	"github.com/unbit/spoolgore/internal/textline"
)

// Hosts writes a line for each worker.
func Hosts(ctx context.Context, s *store.Store, w io.Writer) error {
	all, err := s.Workers(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		x := &all[i]
		state := "alive"
		if !x.Alive {
			state = "dead"
		}
		line := fmt.Sprintf("%s\t%s\t%s\t%d", oneLine(x.Name), state, x.Age.Round(time.Millisecond), x.Leased)
		for _, r := range saidBy(x).Relays {
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
