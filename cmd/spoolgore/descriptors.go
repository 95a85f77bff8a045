package main

import (
	"cmp"
	"log/slog"

	"github.com/unbit/spoolgore/internal/config"
)

const (
	ownFiles            = 20 // descriptors of the daemon itself: log, lock, directories, journal, state
	filesPerTransaction = 2  // the connection and the message
	usualConcurrency    = 20 // of Options, to begin with
)

// fitDescriptors lowers the concurrency of c to what a limit of open files allows, and logs the change. Every relay of
// a sender has connections of its own. Limit zero: not known.
func fitDescriptors(c *config.Config, limit uint64, log *slog.Logger) {
	if limit == 0 {
		return
	}
	wanted := cmp.Or(c.Opts.Concurrency, usualConcurrency)
	routes := 1 + len(c.Opts.Routes)
	fits := max(1, (int(min(limit, 1<<20))-ownFiles)/filesPerTransaction/routes)
	if fits < wanted {
		log.Warn("concurrency lowered to the limit of open files", "concurrency", fits, "wanted", wanted,
			"limit", limit)
		c.Opts.Concurrency = fits
	}
}
