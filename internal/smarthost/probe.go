package smarthost

import (
	"context"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

// A Visit is what came of a probe of one place of a relay.
type Visit struct {
	Addr    string              // where it is, as "host:port"; empty: where the relay is could not be found out
	Remote  string              // the address that was connected to; empty: there was no connection
	Survey  smtpclient.Survey   // what was found out, as far as it came
	Results []smtpclient.Result // whether t would be taken, for each of its To; nil: it did not come to that
	Err     *smtpclient.Error   // why it did not; nil: it did
}

// Probe connects as for an offer of t, and asks the relay whether it would take it; see smtpclient.Probe. Where a relay
// has several places, it is the last visit that an offer would have come to: those before could not be used.
func (r *Relay) Probe(ctx context.Context, t *smtpclient.Transaction) (visits []Visit) {
	lookup, cancel := context.WithTimeout(ctx, dialLimit)
	places, err := r.address.places(lookup, r.opts.Resolver)
	cancel()
	if err != nil {
		return []Visit{{Err: &smtpclient.Error{Op: OpDial, Err: err}}}
	}
	for _, p := range places {
		v := r.visit(ctx, p, t)
		visits = append(visits, v)
		if v.Err == nil || isLast(ctx, v.Err) {
			break
		}
	}
	return visits
}

func (r *Relay) visit(ctx context.Context, p place, t *smtpclient.Transaction) Visit {
	v := Visit{Addr: p.addr}
	nc, config, err := r.dial(ctx, p)
	if err != nil {
		v.Err = err
		return v
	}
	if remote := nc.RemoteAddr(); remote != nil {
		v.Remote = remote.String()
	}
	var failed error
	if v.Survey, v.Results, failed = smtpclient.Probe(ctx, nc, config, t); failed != nil {
		v.Err = asError(failed)
	}
	return v
}
