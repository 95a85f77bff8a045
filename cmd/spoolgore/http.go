package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/collector"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/credential"
	"github.com/unbit/spoolgore/internal/web"
)

// keptMinutes are how many of the past the page can show.
const keptMinutes = 24 * 60

// minutesKept returns how many minutes are remembered for the page.
func minutesKept(c *config.Config) int {
	if c.HTTP == "" {
		return 0
	}
	return keptMinutes
}

// newPage makes the server of the page, and reads its token.
func newPage(c *config.Config, state web.Collector, flush func(), log *slog.Logger) (s *web.Server, err error) {
	token := c.HTTPToken
	if c.HTTPTokenFile != "" {
		file := credential.Source{Name: "-httptokenfile", Log: log}.File(c.HTTPTokenFile)
		if token, err = file(context.Background(), false); err != nil {
			return nil, fmt.Errorf("-httptokenfile: %w", err)
		}
	}
	s, err = web.New(web.Options{
		Dir: c.Dir, StatusFile: c.Opts.StatusFile, Temporary: c.Opts.TemporaryNames, Token: token, Version: version(),
		Collector: state, Flush: flush, Log: log,
	})
	if err == nil {
		_, err = web.Check(s, c.HTTP)
	}
	if err != nil {
		return nil, fmt.Errorf("-http: %w", err)
	}
	return s, nil
}

// listenHTTP makes the server of the page. observe is called with the events of the spool. serve starts the server, and
// end stops it.
func listenHTTP(c *config.Config, state *collector.Collector, flush func(), log *slog.Logger) (
	observe func(spoolgore.Event), serve func() (end func()), err error,
) {
	server, err := newPage(c, state, flush, log)
	if err != nil {
		return nil, nil, err
	}
	listener, err := server.Listen(c.HTTP)
	if err != nil {
		return nil, nil, fmt.Errorf("-http: %w", err)
	}
	log.Info("HTTP server started", "addr", listener.Addr().String(), "token", c.HTTPToken+c.HTTPTokenFile != "")
	serve = func() (end func()) {
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := server.Serve(ctx, listener); err != nil {
				log.Error("HTTP server failed; delivery continues", "err", err)
			}
		}()
		return func() { stop(); <-ended }
	}
	return server.Observe, serve, nil
}
