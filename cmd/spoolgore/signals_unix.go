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
)

// prepareSignals returns the signals to obey. It comes before everything else: it may execute the process again, and so
// what was done, logged, or read from a pipe before would be so a second time.
func prepareSignals(log *slog.Logger) (orders []os.Signal) {
	orders = []os.Signal{syscall.SIGUSR1, syscall.SIGHUP, syscall.SIGTSTP}
	if err := becomeQuiet(orders); err != nil {
		log.Warn("SIGURG is ignored; use SIGUSR1", "err", err)
		return orders
	}
	return append(orders, syscall.SIGURG)
}

// handleSignals makes the orders method calls of the spool, for as long as the process lives. The first SIGTERM or SIGINT
// calls stop, the second one ends the process.
func handleSignals(s *service, stop context.CancelFunc, orders []os.Signal) {
	log := s.log
	ordered := make(chan os.Signal, 16)
	signal.Notify(ordered, orders...)
	ends := []os.Signal{syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGINT) { // a shell without job control ignores it for what it starts with &
		ends = append(ends, syscall.SIGINT)
	}
	ended := make(chan os.Signal, 2)
	signal.Notify(ended, ends...)
	go func() {
		for sig := range ordered {
			s.obey(sig)
		}
	}()
	// Apart from the others: those wait for the disk, and the second one must be heard even if it does not answer.
	go func() {
		log.Info("signal", "name", name(<-ended), "action", "stop")
		s.herald.stopping()
		stop()
		sig := <-ended
		log.Warn("signal", "name", name(sig), "action", "stop at once")
		if number, ok := sig.(syscall.Signal); ok {
			os.Exit(128 + int(number))
		}
	}()
}

// obey carries out one signal.
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

// becomeQuiet sees to it that the process sends itself no SIGURG. Go's runtime does so to preempt goroutines, and
// signal.Notify cannot tell those from real ones: under load the daemon would flush itself several times a second. The
// runtime leaves it only if the environment says so when the process starts, so the process executes itself again, once,
// and keeps its id. (It has no switch for later or for the source of a program, the linker flag -X
// runtime.godebugDefault would be missing from a plain go install, and reading signals by other means, as signalfd with
// its si_code, needs SIGURG blocked in every thread, hence before the start just as well, and is Linux's alone.)
//
// An error means that SIGURG must not be listened to. The signals in orders are ignored from here until Notify, across
// the exec too, as one that comes in between would otherwise end the process; there is nothing to tell it to do yet.
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

// isQuiet reports whether a process that was started with the environment variable GODEBUG=env sends itself no SIGURG.
func isQuiet(env string) bool {
	quiet := false
	for setting := range strings.SplitSeq(env, ",") {
		if strings.HasPrefix(setting, "asyncpreemptoff=") {
			quiet = setting == noPreemption
		}
	}
	return quiet
}
