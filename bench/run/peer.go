//go:build linux

package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// A peer is a program under test, with the settings it runs with.
type peer struct {
	name string
	// fill puts a load into the peer's queue, in e.dir, with nothing running that sends it.
	fill func(e *env, l load) error
	// release has the peer send what is in its queue. It leaves the peer's processes in e.cell.
	release func(e *env) error
	// submit gives the running peer message n of l as a program of its own would, and returns when it is taken.
	submit func(e *env, l load, n int) error
	// later starts the peer with l in its queue and nothing due for hours.
	later func(e *env, l load) error
	// sendmail prepares an empty queue and returns how to call the command that takes a message on standard input.
	sendmail func(e *env) (view, error)
	// slow: it is given one in so many messages of a load, as a whole one would take minutes; 0: all.
	slow int
	// unwaited: it does not wait for its processes, so that nobody learns what CPU time they took.
	unwaited bool
}

// env is where a peer runs: for one measurement.
type env struct {
	conf  *config
	dir   string // its own, empty, on a file system in memory where there is one
	relay string // address of the sink
	ca    string // file with its certificate, if it speaks TLS
	log   *os.File
	cell  *cell // once started
}

// start starts args in a cell: with root (see startCell), if that is not empty.
func (e *env) start(root string, args ...string) error {
	c, err := startCell(root, e.log, args...)
	e.cell = c
	return err
}

// end stops what was started. It returns the CPU time and the peaks of memory of all of it.
func (e *env) end() (time.Duration, usage, error) {
	c := e.cell
	e.cell = nil
	c.note(c.use())
	cpu, err := c.end()
	return cpu, c.peaks(), err
}

// port is the port of the relay.
func (e *env) port() string {
	_, port, _ := net.SplitHostPort(e.relay)
	return port
}

// findPeers returns the peers called names. What is behind a colon is the number of connections at the same time:
// postfix is Postfix as it comes, postfix:100 is tuned.
func findPeers(names string) ([]peer, error) {
	var all []peer
	for _, name := range strings.Split(names, ",") {
		kind, text, tuned := strings.Cut(name, ":")
		n, err := strconv.Atoi(text)
		if tuned && (err != nil || n < 1) {
			return nil, fmt.Errorf("peer %q: want a number behind the colon", name)
		}
		var p peer
		switch kind {
		case "spoolgore":
			p = spoolgorePeer(n)
		case "postfix":
			p = postfixPeer(n)
		case "dma":
			p = dmaPeer()
		case "nullmailer":
			p = nullmailerPeer()
		case "msmtpq":
			p = msmtpqPeer()
		default:
			return nil, fmt.Errorf("peer %q: not known", name)
		}
		p.name = name
		all = append(all, p)
	}
	return all, nil
}
