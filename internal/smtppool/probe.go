package smtppool

import (
	"context"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
)

// A Visit is the result of a probe of one host of a relay.
type Visit struct {
	Addr    string              // "host:port"; empty: the lookup of the hosts failed
	Remote  string              // address of the connection; empty: no connection
	Survey  smtpclient.Survey   // facts about the relay; incomplete after an error
	Results []smtpclient.Result // reply to each recipient of the probe; nil: the session was not set up
	Err     *smtpclient.Error   // reason why the session was not set up; nil: the session was set up
}

// Probe connects like an offer of t, and asks the relay whether the relay would accept t; see smtpclient.Probe. If a
// relay has several hosts, an offer would use the host of the last visit.
func (r *Relay) Probe(ctx context.Context, t *smtpclient.Transaction) (visits []Visit) {
	endpoints, err := r.connector.endpoints(ctx)
	if err != nil {
		return []Visit{{Err: &smtpclient.Error{Op: attempt.OpDial, Err: err}}}
	}
	for _, e := range endpoints {
		v := r.connector.visit(ctx, e, t)
		visits = append(visits, v)
		if v.Err == nil || endsSearch(ctx, v.Err) {
			break
		}
	}
	return visits
}

// visit probes one host.
func (c *connector) visit(ctx context.Context, e *endpoint, t *smtpclient.Transaction) Visit {
	v := Visit{Addr: e.place.addr}
	nc, err := c.dialFunc(ctx, e.network, e.addr)
	if err != nil {
		v.Err = &smtpclient.Error{Op: attempt.OpDial, Err: err}
		return v
	}
	config := c.config(nc, e)
	config.Abilities, config.Logins, config.Sessions = nil, nil, nil
	config.AuthText = true // the result is shown and not kept
	if remote := nc.RemoteAddr(); remote != nil {
		v.Remote = remote.String()
	}
	var failed error
	if v.Survey, v.Results, failed = smtpclient.Probe(ctx, nc, config, t); failed != nil {
		v.Err = asError(failed)
	}
	return v
}
