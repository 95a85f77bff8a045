package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/collector"
	"github.com/unbit/spoolgore/internal/credential"
	"github.com/unbit/spoolgore/internal/web"
)

// keptMinutes are how many of the past the page can show.
const keptMinutes = 24 * 60

// keep is how many minutes are to be remembered.
func (c *config) keep() int {
	if c.http == "" {
		return 0
	}
	return keptMinutes
}

// webToken sees that there is one token for -http at most, and takes that of systemd if nothing else gives one.
func (c *config) webToken(env func(string) string) error {
	switch {
	case c.http == "" && (c.from["httptoken"].rank == onCommandLine || c.from["httptokenfile"].rank == onCommandLine):
		return errors.New("-httptoken and -httptokenfile are for -http, which is missing")
	case c.httpToken != "" && c.httpTokenFile != "":
		return errors.New("-httptoken and -httptokenfile: only one of them can be the token")
	case c.http == "", c.httpToken+c.httpTokenFile != "":
		return nil
	}
	if c.httpTokenFile = systemdCredential(env("CREDENTIALS_DIRECTORY"), "httptoken"); c.httpTokenFile != "" {
		c.from["httptokenfile"] = setting{"httptokenfile", c.httpTokenFile, inEnvironment, "CREDENTIALS_DIRECTORY"}
	}
	return nil
}

// listenHTTP makes the server that shows the spool over HTTP. observe is to be told of the events of the spool; once that
// is there, serve begins to answer, until end is called.
func (c *config) listenHTTP(vital *collector.Pulse, flush func(), log *slog.Logger) (observe func(spoolgore.Event), serve func() (end func()), err error) {
	token := c.httpToken
	if c.httpTokenFile != "" {
		file := credential.Source{Name: "-httptokenfile", Log: log}.File(c.httpTokenFile)
		if token, err = file(context.Background(), false); err != nil {
			return nil, nil, fmt.Errorf("-httptokenfile: %w", err)
		}
	}
	server, err := web.New(web.Options{
		Dir: c.dir, StatusFile: c.opts.StatusFile, Token: token, Version: version(), Pulse: vital, Flush: flush, Log: log,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("-http: %w", err)
	}
	listener, err := server.Listen(c.http)
	if err != nil {
		return nil, nil, fmt.Errorf("-http: %w", err)
	}
	log.Info("shown over HTTP", "addr", listener.Addr().String(), "token", token != "")
	serve = func() (end func()) {
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := server.Serve(ctx, listener); err != nil {
				log.Error("the spool is not shown over HTTP any more, mail goes on", "err", err)
			}
		}()
		return func() { stop(); <-ended }
	}
	return server.Observe, serve, nil
}
