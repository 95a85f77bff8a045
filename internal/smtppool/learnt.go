package smtppool

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Learnt returns the facts about the relay for which mail is sent more slowly, or in another way, than the settings
// allow, a phrase for each. The facts about an address are forgotten after a day.
func (r *Relay) Learnt() (facts []string) {
	now := time.Now()
	if n := r.pool.status().ceiling; n > 0 {
		facts = append(facts, fmt.Sprintf("accepts %d connections", n))
	}
	if text := r.connector.client.Logins.String(); text != "" {
		facts = append(facts, text)
	}
	endpoints := r.connector.all()
	for _, e := range endpoints {
		where := ""
		if len(endpoints) > 1 {
			where = " at " + e.addr
		}
		for _, f := range e.abilities.Broken() {
			facts = append(facts, "offers "+f.String()+" and does not support it"+where)
		}
		if n := e.abilities.Recipients(); n > 0 {
			facts = append(facts, fmt.Sprintf("accepts %d recipients in a transaction%s", n, where))
		}
		if !e.abilities.NullSender() {
			facts = append(facts, "refuses the null sender, and so reports (see reportfrom)"+where)
		}
		if n := e.most(now); n > 0 {
			facts = append(facts, fmt.Sprintf("ends a connection after %d messages%s", n, where))
		}
	}
	return facts
}

// Changes returns a number that changes when a fact of Learnt is added.
func (r *Relay) Changes() (n uint64) {
	n = r.pool.status().ceilings
	c := r.connector
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.known {
		n += e.abilities.Changes() + e.changes.Load()
	}
	return n
}

// all returns the endpoints seen so far, in the order of their addresses.
func (c *connector) all() (all []*endpoint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(c.known)) {
		all = append(all, c.known[key])
	}
	return all
}
