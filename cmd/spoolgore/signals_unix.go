//go:build unix

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/unbit/spoolgore/internal/shell"
)

// prepareSignals returns the signals of the daemon. It is called first: it may execute the process again, which would
// repeat earlier log lines and lose input of a pipe.
func prepareSignals(log *slog.Logger) (orders []os.Signal) {
	// Without a handler a log line that has no reader ends the process. Commands of the user do not inherit a handler.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if os.Getpid() == 1 {
		go reapOrphans()
	}
	orders = []os.Signal{syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGTSTP}
	if err := becomeQuiet(orders); err != nil {
		log.Warn("SIGURG is ignored; use SIGUSR1", "err", err)
		return orders
	}
	return append(orders, syscall.SIGURG)
}

// reapOrphans waits for the children of ended commands, which process 1 gets.
func reapOrphans() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	for range ended {
		shell.Orphans()
	}
}

// handleSignals calls methods of the spool for signals, while the process lives. The first SIGTERM or SIGINT calls
// stop, the second one ends the process.
func handleSignals(s *service, stop context.CancelFunc, orders []os.Signal) {
	log := s.log
	ordered := make(chan os.Signal, 16)
	signal.Notify(ordered, orders...)
	ends := []os.Signal{syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGINT) { // a shell without job control ignores SIGINT for background commands
		ends = append(ends, syscall.SIGINT)
	}
	ended := make(chan os.Signal, 2)
	signal.Notify(ended, ends...)
	go func() {
		for sig := range ordered {
			s.obey(sig)
		}
	}()
	// a goroutine of its own: signals wait for the disk, but the second SIGTERM must work without the disk
	go func() {
		log.Info("signal", "name", name(<-ended), "action", "stop")
		s.manager.stopping()
		stop()
		sig := <-ended
		log.Warn("signal", "name", name(sig), "action", "stop at once")
		if number, ok := sig.(syscall.Signal); ok {
			os.Exit(128 + int(number))
		}
	}()
}

// obey executes one signal.
func (s *service) obey(sig os.Signal) {
	spool, log := s.spool, s.log
	switch sig {
	case syscall.SIGURG, syscall.SIGUSR1:
		log.Info("signal", "name", name(sig), "action", "flush")
		spool.Resume()
		spool.Flush()
	case syscall.SIGTSTP:
		log.Info("signal", "name", name(sig), "action", "pause")
		spool.Pause()
	case syscall.SIGHUP:
		log.Info("signal", "name", name(sig), "action", "reload")
		if err := s.reload(); err != nil {
			log.Error("reload failed; nothing changed", "err", err)
		}
	}
}

func name(sig os.Signal) string {
	return map[os.Signal]string{
		syscall.SIGURG: "SIGURG", syscall.SIGUSR1: "SIGUSR1", syscall.SIGTSTP: "SIGTSTP", syscall.SIGHUP: "SIGHUP",
		syscall.SIGTERM: "SIGTERM", syscall.SIGINT: "SIGINT",
	}[sig]
}

const noPreemption = "asyncpreemptoff=1"

// becomeQuiet makes the runtime send the process no SIGURG. Go's runtime preempts goroutines with SIGURG, and
// signal.Notify cannot tell such a signal from a real one: under load the daemon would flush several times a second.
// The runtime stops that only for an environment variable at the start of the process. So the process executes itself
// again, once, with the same id. Alternatives do not work: there is no switch in the source, the linker flag -X
// runtime.godebugDefault would be missing from a plain go install, and signalfd needs SIGURG blocked in every thread,
// hence before the start, and is Linux only.
//
// An error means that SIGURG must be ignored. The signals in orders are ignored from here until Notify, and across the
// exec: a signal would end the process otherwise.
func becomeQuiet(orders []os.Signal) error {
	env := os.Getenv("GODEBUG")
	if isQuiet(env) {
		return nil
	}
	path, err := os.Executable()
	if err != nil {
		return err
	}
	signal.Ignore(orders...)
	// The last of several settings counts, and so the new process is quiet and does not come here again.
	if err := os.Setenv("GODEBUG", strings.TrimPrefix(env+","+noPreemption, ",")); err != nil {
		return err
	}
	return fmt.Errorf("execute %s again: %w", path, syscall.Exec(path, os.Args, os.Environ()))
}

// isQuiet reports whether a process with the environment variable GODEBUG=env receives no SIGURG of the runtime.
func isQuiet(env string) bool {
	quiet := false
	for setting := range strings.SplitSeq(env, ",") {
		if strings.HasPrefix(setting, "asyncpreemptoff=") {
			quiet = setting == noPreemption
		}
	}
	return quiet
}
