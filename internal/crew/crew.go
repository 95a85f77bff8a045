// Package crew does many short jobs with few goroutines. To start one for each costs more than what many of the jobs do, and where
// all begin at the same moment they are in the way of what is more urgent.
package crew

import "sync"

// share is how many jobs one goroutine is to do before another one helps.
const share = 8

// A Crew does jobs, each once, in about the order in which they come. The zero value is ready. Its methods may be called by any
// number of goroutines.
type Crew struct {
	mu      sync.Mutex
	jobs    []func()
	workers int
}

// Do has job done soon, and does not wait. A job may wait for the disk, but not for another job.
func (c *Crew) Do(job func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.jobs = append(c.jobs, job)
	if len(c.jobs) > share*c.workers {
		c.workers++
		go c.work()
	}
}

// work does jobs until there are none.
func (c *Crew) work() {
	for job := c.next(); job != nil; job = c.next() {
		job()
	}
}

// next takes the next job; nil: there is none, and the worker that asks is none any more.
func (c *Crew) next() func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.jobs) == 0 {
		c.workers--
		c.jobs = nil // with the room that a burst has taken
		return nil
	}
	job := c.jobs[0]
	c.jobs[0] = nil
	c.jobs = c.jobs[1:]
	return job
}
