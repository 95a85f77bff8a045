//go:build unix

// Package demo shows a fleet at work: three hosts and three workers as processes, a relay that takes 14 messages a
// second, and a database. The demo kills a worker, a host and the database, and counts what the relay got.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/fleet/internal/pgserver"
)

const (
	limit    = 14 // messages a second
	messages = 300
	hosts    = 3
	workers  = 3
	patience = 3 * time.Minute
)

// demo is the state of Run.
type demo struct {
	ctx    context.Context
	out    io.Writer
	began  time.Time
	dir    string // of the spools
	db     string
	server *pgserver.Server // nil: the database is that of the caller
	relay  *relay
	self   string // the program
	put    []string
	procs  map[string]*exec.Cmd
}

// Run shows the demo. db is the database to use; empty: PGURL, or a private server, which needs PostgreSQL on this
// host. An error means that mail was lost, that the limit was not kept, or that the demo could not go on.
func Run(ctx context.Context, db string, out io.Writer) (err error) {
	d := &demo{ctx: ctx, out: out, began: time.Now(), db: db, procs: make(map[string]*exec.Cmd)}
	if d.db == "" {
		d.db = os.Getenv("PGURL")
	}
	if d.self, err = os.Executable(); err != nil {
		return err
	}
	if d.dir, err = os.MkdirTemp("", "spoolgore-fleet-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	if d.db == "" {
		d.say("a private PostgreSQL server starts")
		if d.server, err = pgserver.New(); err != nil {
			return err
		}
		defer d.server.Remove()
		if d.db, err = d.server.Create("fleet"); err != nil {
			return err
		}
	}
	if d.relay, err = startRelay(limit); err != nil {
		return err
	}
	defer d.relay.listener.Close()
	defer func() {
		for name := range d.procs {
			d.kill(name)
		}
	}()
	if err := d.show(); err != nil {
		return err
	}
	return d.result()
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%5.1f s  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// show runs the fleet, and kills its parts.
func (d *demo) show() error {
	for i := range hosts {
		if err := d.host(i); err != nil {
			return err
		}
	}
	for i := range workers {
		if err := d.worker(i); err != nil {
			return err
		}
	}
	d.say("%d hosts hand on the files of their spools, %d workers send to a relay that takes %d a second",
		hosts, workers, limit)
	if err := d.drop(2*messages/3, 0, 1, 2); err != nil {
		return err
	}
	d.say("programs have left %d messages on the hosts", len(d.put))
	if err := d.await(30); err != nil {
		return err
	}
	d.kill("worker 0")
	d.say("kill -9 of worker 0, after %d messages", d.sent())
	if err := d.await(60); err != nil {
		return err
	}
	d.kill("host 1")
	if err := d.drop(messages/3, 1); err != nil {
		return err
	}
	d.say("kill -9 of host 1; programs leave %d messages in its spool all the same", messages/3)
	if err := d.await(100); err != nil {
		return err
	}
	if err := errors.Join(d.host(1), d.worker(0)); err != nil {
		return err
	}
	d.say("host 1 and worker 0 are back")
	if err := d.await(150); err != nil {
		return err
	}
	if err := d.crash(); err != nil {
		return err
	}
	return d.await(messages)
}

// crash stops the database for a moment, without a checkpoint.
func (d *demo) crash() error {
	if d.server == nil {
		d.say("the database is yours, and is not killed")
		return nil
	}
	d.server.Crash()
	d.say("the database is killed, after %d messages", d.sent())
	select {
	case <-time.After(2 * time.Second):
	case <-d.ctx.Done():
	}
	err := d.server.Start()
	d.say("the database is back")
	return err
}

// result prints the result.
func (d *demo) result() error {
	lost := 0
	for _, subject := range d.put {
		if !d.relay.has(subject) {
			lost++
		}
	}
	_, copies := d.relay.count()
	most := d.relay.most()
	d.say("put %d, lost %d, copies %d, most in any second %d (limit %d)", len(d.put), lost, copies, most, limit)
	switch {
	case lost > 0:
		return fmt.Errorf("%d messages were lost", lost)
	case most > limit:
		return fmt.Errorf("the relay saw %d messages in a second", most)
	}
	return nil
}

// sent returns the number of messages that the relay has accepted.
func (d *demo) sent() int {
	n, _ := d.relay.count()
	return n
}

// await waits until the relay has n messages.
func (d *demo) await(n int) error {
	for end := time.Now().Add(patience); d.sent() < n; {
		select {
		case <-d.ctx.Done():
			return d.ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("the relay has %d messages after %v, not %d", d.sent(), patience, n)
		}
	}
	return nil
}

func (d *demo) spool(host int) string { return filepath.Join(d.dir, fmt.Sprint("host", host)) }

// drop puts n messages into the spools of hosts in turn, as programs do.
func (d *demo) drop(n int, hosts ...int) error {
	for i := range n {
		subject := fmt.Sprint("message ", len(d.put))
		env := spoolgore.Envelope{From: "app@example.com", To: []string{"ann@example.org"}}
		text := "Subject: " + subject + "\n\nHello!\n"
		spool := spoolgore.New(d.spool(hosts[i%len(hosts)]), spoolgore.Options{})
		if _, err := spool.Put(d.ctx, env, strings.NewReader(text)); err != nil {
			return err
		}
		d.put = append(d.put, subject)
	}
	return nil
}

// host starts a host.
func (d *demo) host(i int) error {
	if err := os.MkdirAll(d.spool(i), 0o700); err != nil {
		return err
	}
	return d.start(fmt.Sprint("host ", i), "-forward", d.spool(i))
}

// worker starts a worker.
func (d *demo) worker(i int) error {
	return d.start(fmt.Sprint("worker ", i), "-work", "-smtpaddr", d.relay.listener.Addr().String(),
		"-rate", fmt.Sprintf("%d/s", limit))
}

// start starts a process of the fleet. Its log goes to a file.
func (d *demo) start(name string, args ...string) error {
	log, err := os.OpenFile(filepath.Join(d.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(d.self, append([]string{"-db", d.db, "-name", name}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	d.procs[name] = cmd
	return nil
}

// kill kills a process.
func (d *demo) kill(name string) {
	if cmd := d.procs[name]; cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		delete(d.procs, name)
	}
}
