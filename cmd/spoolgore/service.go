package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/collector"
)

// A service is the daemon: the spool that it runs, and what it takes to go on with another configuration.
type service struct {
	args   []string // that c was made of
	c      config   // in force; only reload changes it
	log    *slog.Logger
	spool  *spoolgore.Spool
	also   func(spoolgore.Event) // is told as well; nil: nobody
	hook   *onFail
	vital  *collector.Pulse
	shown  func(spoolgore.Event) // of -http, is told as well; nil: there is none
	herald *herald
}

// newService makes the daemon that c asks for. It starts nothing, and logs to stderr.
func newService(args []string, c config, stderr io.Writer) *service {
	c.level = new(slog.LevelVar)
	c.level.Set(levelOf(c))
	return &service{args: args, c: c, also: c.opts.OnEvent, log: newLogger(c, stderr)}
}

// run runs the spool until a signal ends it or, with -once, until nothing is due.
func (s *service) run(orders []os.Signal) error {
	s.hook = newOnFail(s.c.onFail, onFailLimit, s.log)
	hooks, cut := context.WithCancelCause(context.Background())
	defer s.hook.close(cut)
	go s.hook.run(hooks)
	s.vital = collector.New(collector.Options{
		Dir: s.c.dir, Health: func() spoolgore.Health { return s.spool.Health() }, Version: version(), Rate: s.c.opts.Rate, Keep: s.c.keep(), Log: s.log,
	})
	serve := func() (end func()) { return func() {} }
	if s.c.http != "" {
		observe, begin, err := s.c.listenHTTP(s.vital, func() { s.spool.Flush() }, s.log)
		if err != nil {
			return err
		}
		s.shown, serve = observe, begin
	}
	s.complete(&s.c)
	s.spool = spoolgore.New(s.c.dir, s.c.opts)
	defer takePulse(s.vital, orders)()
	s.herald = newHerald(s.spool.Health, func() float64 { return s.vital.Last().PerMinute })
	defer s.herald.start()()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	handleSignals(s, stop, orders)
	defer serve()() // whoever sees it may end it
	if s.c.once {
		return s.spool.Drain(ctx)
	}
	return s.spool.Run(ctx)
}

// complete adds to the options of c what all configurations have in common.
func (s *service) complete(c *config) {
	c.opts.Logger = s.log
	c.opts.OnEvent = inTurn(s.also, s.hook.tell, s.vital.Observe, s.shown)
}

// reload is SIGHUP: it reads the configuration and all files that this names again, and the status file, and goes on with
// them; a pause ends. After an error nothing has changed, and a pause goes on.
func (s *service) reload() error {
	s.herald.reloading()
	err := s.renew()
	s.herald.reloaded(err)
	if err == nil {
		s.spool.Resume()
	}
	return err
}

// renew does what reload tells of. What may go wrong comes before what changes anything.
func (s *service) renew() error {
	next, err := parse(s.args, os.Getenv)
	if err != nil {
		return err
	}
	if err := s.c.allows(&next); err != nil {
		return err
	}
	if err := checkAddresses(next.opts.SMTPAddr); err != nil {
		return err
	}
	if err := next.complete(s.log); err != nil {
		return err
	}
	s.complete(&next)
	err = s.spool.Reload()
	if errors.Is(err, fs.ErrNotExist) && !s.spool.Health().Paused {
		err = nil // it has yet to be written for the first time, and nobody has edited it
	}
	if err != nil {
		return err
	}
	if err := s.spool.Reconfigure(next.opts); err != nil {
		return err
	}
	next.level = s.c.level
	next.level.Set(levelOf(next))
	s.hook.set(next.onFail)
	s.vital.SetRate(next.opts.Rate)
	s.c = next
	return nil
}

// allows says which setting is another one in next that cannot change while the daemon runs.
func (c *config) allows(next *config) error {
	for key, same := range map[string]bool{
		"dir": c.dir == next.dir, "json": c.opts.StatusFile == next.opts.StatusFile, "once": c.once == next.once, "logjson": c.logJSON == next.logJSON,
		"http": c.http == next.http, "httptokenfile": c.httpTokenFile == next.httpTokenFile, "httptoken": c.httpToken == next.httpToken,
	} {
		if same {
			continue
		}
		where := next.from[key].origin
		if where == "" {
			where = "the configuration"
		}
		return &configError{fmt.Errorf("%s: %s is another one, which needs a restart of the daemon", where, key)}
	}
	return nil
}

// levelOf is the level from which on the log is told.
func levelOf(c config) slog.Level {
	if c.verbose {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// newLogger is the log of a command that has the daemon's flags.
func newLogger(c config, stderr io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: levelOf(c)}
	if c.level != nil {
		opts.Level = c.level
	}
	journal := isJournal(stderr, os.Getenv)
	inner := func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, opts) }
	switch {
	case c.logJSON:
		inner = func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, opts) }
	case journal:
		opts.ReplaceAttr = timeless
	}
	if journal {
		return slog.New(forJournal(stderr, inner))
	}
	return slog.New(inner(stderr))
}
