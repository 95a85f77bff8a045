package fleet

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/unbit/spoolgore"
)

// child is the main function of a child process.
func child(role string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	q, err := Open(ctx, Options{
		DB: os.Getenv("FLEET_TEST_DB"), Name: os.Getenv("FLEET_TEST_NAME"), Lease: childLease,
		Journal: os.Getenv("FLEET_TEST_JOURNAL"),
		Logger:  slog.New(slog.DiscardHandler),
	})
	if err != nil {
		slog.Error("child", "err", err)
		return 1
	}
	defer q.Close()
	switch role {
	case "host":
		err = spoolgore.New(os.Getenv("FLEET_TEST_DIR"), spoolgore.Options{
			Transport: dying{q.HandOn(), os.Getenv("FLEET_TEST_DIE")}, Logger: slog.New(slog.DiscardHandler),
			Watch: spoolgore.WatchOff, Freq: 100 * time.Millisecond,
		}).Run(ctx)
	case "worker":
		var rate spoolgore.Rate
		if rate, err = spoolgore.ParseRate(os.Getenv("FLEET_TEST_RATE")); err != nil {
			break
		}
		err = q.Work(ctx, spoolgore.Options{
			SMTPAddr: os.Getenv("FLEET_TEST_RELAY"), Concurrency: 10, Backoff: soon, SMTP: spoolgore.SMTP{TLS: "none"},
			Rate: rate,
		})
	}
	if err != nil {
		slog.Error("child", "err", err)
		return 1
	}
	return 0
}

// dying is a transport that kills its process.
type dying struct {
	spoolgore.Transport
	when string // before, during or after Deliver; empty: never
}

// HandsOn marks a transport to another queue.
func (dying) HandsOn() {}

// Deliver implements spoolgore.Transport.
func (d dying) Deliver(ctx context.Context, t *spoolgore.Transaction) []spoolgore.Result {
	end := func() {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	switch d.when {
	case "before":
		end()
	case "during":
		time.AfterFunc(time.Duration(rand.IntN(4000))*time.Microsecond, end) // Put takes about 2 ms
		d.Transport.Deliver(ctx, t)
		end()
	}
	results := d.Transport.Deliver(ctx, t)
	if d.when == "after" {
		end()
	}
	return results
}

// Signals that stop and continue a process.
const (
	stopSignal = syscall.SIGSTOP
	goOnSignal = syscall.SIGCONT
)

// childLease is the lease of child processes.
const childLease = 2 * time.Second

// spawn starts a child process, which is killed at the end of the test.
func spawn(t *testing.T, role string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), "FLEET_TEST_ROLE="+role), env...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(cmd) })
	return cmd
}

// kill kills a child process and waits for its end.
func kill(cmd *exec.Cmd) {
	if cmd.ProcessState == nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}
