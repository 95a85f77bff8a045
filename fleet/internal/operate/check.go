package operate

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/unbit/spoolgore/fleet/internal/store"
)

// Limits of Check.
const (
	longTime  = time.Minute      // of a transaction, which keeps deleted rows of the queue in the tables
	oldTime   = time.Hour        // of a message that is to be sent
	clockTime = 10 * time.Second // between the clocks of this host and of the database
)

// findings are what Check has found.
type findings struct {
	w        io.Writer
	problems int
	err      error
}

func (f *findings) line(kind, format string, args ...any) {
	if kind == "problem" {
		f.problems++
	}
	if _, err := fmt.Fprintf(f.w, "%-8s %s\n", kind, oneLine(fmt.Sprintf(format, args...))); err != nil {
		f.err = err
	}
}

// Check writes what is well and what is not: the database, the workers, the relays and the queue. It returns the number
// of problems.
func Check(ctx context.Context, s *store.Store, w io.Writer) (problems int, err error) {
	f := &findings{w: w}
	server, err := s.Server(ctx)
	if err != nil {
		return 0, err
	}
	f.server(&server)
	sums, err := s.Sums(ctx)
	if err != nil {
		return 0, err
	}
	workers, err := s.Workers(ctx)
	if err != nil {
		return 0, err
	}
	f.workers(workers, time.Until(server.Now))
	state, err := (&Queue{Acts: Acts{Store: s, Ctx: ctx}}).Watch()
	if err != nil {
		return 0, err
	}
	for _, r := range state.Relays {
		switch {
		case r.Trouble != "":
			f.line("problem", "relay %s cannot be used: %s", r.Name, r.Trouble)
		case r.Slow() != "":
			f.line("warning", "relay %s: %s", r.Name, r.Slow())
		default:
			f.line("ok", "relay %s: %d connections", r.Name, r.Connections)
		}
	}
	f.queue(sums, server.Now)
	return f.problems, f.err
}

// Replication says in one sentence what protects a commit against the loss of the primary. safe is false if a failover
// may lose what was confirmed.
func Replication(x *store.Server) (text string, safe bool) {
	switch {
	case x.Names != "" && x.Synchronous > 0:
		return fmt.Sprintf("commits wait for %d of %d standbys (synchronous_standby_names = %s)",
			x.Synchronous, x.Standbys, x.Names), true
	case x.Names != "":
		return fmt.Sprintf("synchronous_standby_names = %s, and no synchronous standby is seen: commits wait for "+
			"one, or the role may not see pg_stat_replication (grant pg_monitor)", x.Names), true
	case x.Standbys > 0:
		return fmt.Sprintf("%d asynchronous standbys: a failover may lose mail that was confirmed; set "+
			"synchronous_standby_names", x.Standbys), false
	}
	return "no standby is seen: mail is as safe as the disk of the database " +
		"(a managed service may replicate unseen)", false
}

func (f *findings) server(x *store.Server) {
	f.line("ok", "PostgreSQL %s, database %s, schema %d, fsync and full_page_writes are on",
		x.Version, x.Name, x.Schema)
	text, safe := Replication(x)
	kind := "ok"
	if !safe {
		kind = "warning"
	}
	f.line(kind, "replication: %s", text)
	if x.Commit == "off" || x.Commit == "local" {
		f.line("warning", "synchronous_commit = %s: Put waits for the disk all the same, PutTx and spoolgore.put "+
			"do not", x.Commit)
	}
	if x.Longest > longTime {
		f.line("warning", "a transaction of %s is open for %v: deleted rows of the queue stay in the tables until "+
			"the transaction ends", x.Program, x.Longest.Round(time.Second))
	}
	if x.Foreign > 0 {
		f.line("warning", "the database has %d tables of other programs: long transactions of theirs slow the "+
			"queue down", x.Foreign)
	}
	if x.Paused {
		f.line("warning", "the fleet is paused: no worker sends until resume")
	}
}

func (f *findings) workers(all []store.Worker, ahead time.Duration) {
	alive := 0
	for i := range all {
		if all[i].Alive {
			alive++
			continue
		}
		f.line("warning", "worker %s is dead: last beat %v ago", all[i].Name, all[i].Age.Round(time.Second))
	}
	switch alive {
	case 0:
		f.line("problem", "no worker runs: no mail is sent")
	case 1:
		f.line("warning", "1 worker runs: mail waits while it is replaced")
	default:
		f.line("ok", "%d workers run", alive)
	}
	if ahead.Abs() > clockTime {
		f.line("warning", "the clock of this host differs from that of the database by %v: times in lists are wrong, "+
			"sending is not", ahead.Round(time.Second))
	}
}

func (f *findings) queue(sums []store.Sum, now time.Time) {
	waiting, failed, held := 0, 0, 0
	oldest := now
	for _, x := range sums {
		switch {
		case x.State == store.Failed:
			failed += x.Count
		case x.State == store.Held:
			held += x.Count
		case x.State == store.Waiting && x.First: // for the time of the sender
		default:
			waiting += x.Count
			if x.Oldest.Before(oldest) {
				oldest = x.Oldest
			}
		}
	}
	kind := "ok"
	if age := now.Sub(oldest); age > oldTime {
		kind = "warning"
	}
	f.line(kind, "%d messages to send, the oldest %v old", waiting, now.Sub(oldest).Round(time.Second))
	if held > 0 {
		f.line("warning", "%d messages are held", held)
	}
	if failed > 0 {
		f.line("warning", "%d messages have failed, and stay until they are retried or deleted", failed)
	}
}
