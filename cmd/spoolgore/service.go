package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/collector"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/hooks"
	"github.com/unbit/spoolgore/internal/logger"
)

// A service is the daemon: the spool that it runs, and what it takes to go on with another configuration.
type service struct {
	args   []string      // that c was made of
	c      config.Config // in force; only reload changes it
	level  *slog.LevelVar
	log    *slog.Logger
	spool  *spoolgore.Spool
	also   func(spoolgore.Event) // is told as well; nil: nobody
	hook   *hooks.OnFail
	vital  *collector.Pulse
	shown  func(spoolgore.Event) // of -http, is told as well; nil: there is none
	herald *herald
}

// newService makes the daemon that c asks for. It starts nothing, and logs to stderr.
func newService(args []string, c config.Config, stderr io.Writer) *service {
	level := new(slog.LevelVar)
	level.Set(c.LogLevel())
	return &service{args: args, c: c, level: level, also: c.Opts.OnEvent, log: logger.New(stderr, level, c.LogJSON)}
}

// run runs the spool until a signal ends it or, with -once, until nothing is due.
func (s *service) run(orders []os.Signal) error {
	s.hook = hooks.New(s.c.OnFail, s.log)
	defer s.hook.Start()()
	s.vital = collector.New(collector.Options{
		Dir: s.c.Dir, Health: func() spoolgore.Health { return s.spool.Health() }, Version: version(), Rate: s.c.Opts.Rate, Keep: minutesKept(&s.c), Log: s.log,
	})
	serve := func() (end func()) { return func() {} }
	if s.c.HTTP != "" {
		observe, begin, err := listenHTTP(&s.c, s.vital, func() { s.spool.Flush() }, s.log)
		if err != nil {
			return err
		}
		s.shown, serve = observe, begin
	}
	s.complete(&s.c)
	s.spool = spoolgore.New(s.c.Dir, s.c.Opts)
	defer takePulse(s.vital, orders)()
	s.herald = newHerald(s.spool.Health, func() float64 { return s.vital.Last().PerMinute })
	defer s.herald.start()()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	handleSignals(s, stop, orders)
	defer serve()() // whoever sees it may end it
	if s.c.Once {
		return s.spool.Drain(ctx)
	}
	return s.spool.Run(ctx)
}

// complete adds to the options of c what all configurations have in common.
func (s *service) complete(c *config.Config) {
	c.Opts.Logger = s.log
	c.Opts.OnEvent = hooks.InTurn(s.also, s.hook.Observe, s.vital.Observe, s.shown)
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
	next, err := config.Parse(s.args, os.Getenv)
	if err != nil {
		return err
	}
	if err := s.c.Allows(&next); err != nil {
		return err
	}
	if err := config.CheckAddresses(next.Opts.SMTPAddr); err != nil {
		return err
	}
	if err := next.Complete(s.log); err != nil {
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
	if err := s.spool.Reconfigure(next.Opts); err != nil {
		return err
	}
	s.level.Set(next.LogLevel())
	s.hook.Set(next.OnFail)
	s.vital.SetRate(next.Opts.Rate)
	s.c = next
	return nil
}
