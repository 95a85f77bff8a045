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

// A peer is a program under test, with its settings.
type peer struct {
	name string
	// fill puts a load into the queue in e.dir, without sending.
	fill func(e *env, l load) error
	// release makes the peer send its queue. The processes of the peer are in e.cell.
	release func(e *env) error
	// submit gives message n of l to the running peer as a program would, and returns after acceptance.
	submit func(e *env, l load, n int) error
	// later starts the peer with l in its queue and nothing due for hours.
	later func(e *env, l load) error
	// sendmail prepares an empty queue and returns the command that accepts a message on standard input.
	sendmail func(e *env) (view, error)
	// slow: fraction 1/slow of a load is used, because a whole load takes minutes; zero: all of it
	slow int
	// unwaited: the peer does not wait for its processes, so that their CPU time is unknown
	unwaited bool
}

// env is the environment of one measurement.
type env struct {
	conf  *config
	dir   string // empty directory of the peer, in memory if possible
	relay string // address of the sink
	ca    string // file with the certificate of the relay, if the relay speaks TLS
	log   *os.File
	cell  *cell // once started
}

// start starts args in a cell: with root (see startCell), if that is not empty.
func (e *env) start(root string, args ...string) error {
	c, err := startCell(root, e.log, args...)
	e.cell = c
	return err
}

// end stops the cell. It returns the CPU time and the peaks of memory.
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

// findPeers returns the peers of that name. The number after a colon is that of connections: postfix is Postfix with
// its defaults, postfix:100 is tuned.
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
		case "bare":
			p = barePeer(n)
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
