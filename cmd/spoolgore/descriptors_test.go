//go:build unix

package main

import (
	"log/slog"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/config"
)

// The concurrency fits the limit of open files, and the start says so.
func TestConcurrencyFollowsTheLimitOfOpenFiles(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		limit               uint64
		wanted, routes, got int
		logged              bool
	}{
		{0, 0, 0, 0, false},
		{1024, 0, 0, 0, false},
		{1024, 2000, 0, 502, true},
		{32, 0, 0, 6, true},
		{32, 3, 0, 3, false},
		{10, 0, 0, 1, true},
		{1 << 63, 5000, 0, 5000, false},
		{64, 0, 1, 11, true},
	} {
		is := is.New(t)
		var log logBuffer
		c := config.Config{}
		c.Opts.Concurrency, c.Opts.Routes = row.wanted, make([]spoolgore.Route, row.routes)
		fitDescriptors(&c, row.limit, slog.New(slog.NewTextHandler(&log, nil)))
		is.Equal(c.Opts.Concurrency, row.got)
		is.Equal(log.String() != "", row.logged)
	}
}
