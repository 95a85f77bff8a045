package worker

import (
	"sync"
	"time"
)

// clock is the clock of the server, as a host knows that clock. Setting the clock of the host has no effect.
type clock struct {
	mu     sync.Mutex
	server time.Time
	at     time.Time // of the host, when server was read
}

// set sets the time of the server.
func (c *clock) set(server time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.server, c.at = server.Round(0).UTC(), time.Now()
}

// now returns the time of the server.
func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server.Add(time.Since(c.at))
}

// local returns a time of the server as a time of the host; zero stays zero.
func (c *clock) local(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at.Add(t.Sub(c.server))
}
