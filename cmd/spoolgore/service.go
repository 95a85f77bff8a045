package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/addrmask"
	"github.com/unbit/spoolgore/internal/collector"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/hooks"
	"github.com/unbit/spoolgore/internal/logger"
)

// A service is the daemon: a running spool, and its configuration.
type service struct {
	args      []string      // the arguments of c
	c         config.Config // the current configuration; only reload changes it
	level     *slog.LevelVar
	short     atomic.Bool // addresses in the log are shortened
	log       *slog.Logger
	flush     func() // writes the log lines that wait
	spool     *spoolgore.Spool
	also      func(spoolgore.Event) // gets events, too; nil: none
	hook      *hooks.Runner
	collector *collector.Collector
	shown     func(spoolgore.Event) // of -http, is told as well; nil: there is none
	manager   *notifier
	keeper    *keeper
}

// newService returns the daemon for c. It starts no goroutine, and logs to stderr.
func newService(args []string, c config.Config, stderr io.Writer) *service {
	level := new(slog.LevelVar)
	level.Set(c.LogLevel())
	log, flush := logger.NewLossy(stderr, level, c.LogJSON)
	s := &service{args: args, c: c, level: level, also: c.Opts.OnEvent, flush: flush}
	s.short.Store(c.Opts.ShortAddresses)
	s.log = slog.New(addrmask.NewHandler(log.Handler(), s.short.Load))
	return s
}

// run runs the spool until a signal ends it or, with -once, until no message is due.
func (s *service) run(orders []os.Signal) error {
	s.hook = hooks.New(config.Hooks(&s.c), hooks.Options{
		Dir: s.c.Dir, StatusFile: s.c.Opts.StatusFile, Temporary: s.c.Opts.TemporaryNames, Log: s.log,
	})
	defer s.hook.Start()()
	s.collector = collector.New(collector.Options{
		Dir: s.c.Dir, Health: func() spoolgore.Health { return s.spool.Health() }, Version: version(),
		Rate: s.c.Opts.Rate.String(), Rewrite: s.c.Opts.Rewrite, Keep: minutesKept(&s.c), Log: s.log,
		OnLook: func(h spoolgore.Health) { s.hook.Look(h); s.manager.look(h) },
	})
	serve := func() (end func()) { return func() {} }
	if s.c.HTTP != "" {
		observe, begin, err := listenHTTP(&s.c, s.collector, func() { s.spool.Flush() }, s.log)
		if err != nil {
			return err
		}
		s.shown, serve = observe, begin
	}
	receive := func() (end func()) { return func() {} }
	if s.c.Listen != "" {
		var err error
		if receive, err = listenSMTP(&s.c, s.log); err != nil {
			return err
		}
	}
	s.complete(&s.c)
	s.logRewriting()
	s.spool = spoolgore.New(s.c.Dir, s.c.Opts)
	s.manager = newNotifier(s.spool.Health, s.collector.PerMinute)
	defer runCollector(s.collector, orders)()
	defer s.manager.start()()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	s.keeper = newKeeper(s.c.Dir, s.c.KeepFailed, s.log)
	handleSignals(s, stop, orders)
	defer s.keeper.start()()
	defer serve()() // an error ends the daemon
	defer receive()()
	if s.c.Once {
		return s.spool.Drain(ctx)
	}
	return s.spool.Run(ctx)
}

// complete adds the options that all configurations have in common.
func (s *service) complete(c *config.Config) {
	c.Opts.Logger = s.log
	fitDescriptors(c, openFiles(), s.log)
	c.Opts.OnEvent = hooks.InTurn(s.also, s.hook.Observe, s.collector.Observe, s.shown)
}

// reload is SIGHUP: it reads the configuration, its files and the status file again, and ends a pause. After an error
// the old configuration counts and a pause continues.
func (s *service) reload() error {
	s.manager.reloading()
	err := s.renew()
	s.manager.reloaded(err)
	if err == nil {
		s.spool.Resume()
	}
	return err
}

// renew is reload without its notification. All steps that may fail come before the first change.
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
	protectSecrets(&next, s.log)
	if err := next.CheckLoop(); err != nil {
		return err
	}
	s.complete(&next)
	err = s.spool.Reload()
	if errors.Is(err, fs.ErrNotExist) && !s.spool.Health().Paused {
		err = nil // there is no status file yet, and no edit
	}
	if err != nil {
		return err
	}
	if err := s.spool.Reconfigure(next.Opts); err != nil {
		return err
	}
	s.level.Set(next.LogLevel())
	s.short.Store(next.Opts.ShortAddresses)
	s.hook.Set(config.Hooks(&next))
	s.keeper.set(next.KeepFailed)
	s.collector.Set(next.Opts.Rate.String(), next.Opts.Rewrite)
	s.c = next
	s.logRewriting()
	return nil
}

// logRewriting logs the settings by which mail gets other senders and recipients.
func (s *service) logRewriting() {
	s.c.ShowRewriting(func(setting, value string) {
		s.log.Warn("mail gets other senders or recipients", "setting", setting, "value", value)
	})
}
