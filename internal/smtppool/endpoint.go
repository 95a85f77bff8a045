package smtppool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

const (
	firstRest = time.Second            // time until an address is preferred again after the first failure
	lastRest  = 5 * time.Minute        // longest such time
	learned   = 24 * time.Hour         // time until a learnt limit of messages on a connection is forgotten
	wrongPTR  = time.Hour              // rest of an IPv6 address after a refusal for a missing PTR record
	stagger   = 300 * time.Millisecond // time until the next address is tried beside a slow one (RFC 8305)
)

// An endpoint is one address of a relay, with the facts learnt about the address. A relay has an endpoint for each IP
// address of each host; if the function Dial of the options makes the lookup, for each host.
type endpoint struct {
	place
	addr      string // for Dial: "192.0.2.1:25", "relay.example.com:25" or a path
	abilities smtpclient.Abilities
	changes   atomic.Uint64 // number of learnt limits

	mu       sync.Mutex // guards the following fields
	rest     time.Duration
	until    time.Time // the endpoint is not preferred before until
	err      error     // last failure; nil: none
	ended    int       // transactions on the last connection that the relay ended; zero: none
	endings  int       // connections in a row that ended after so many transactions
	limit    int       // transactions on a connection, as learnt; zero: no limit
	limitEnd time.Time // end of the validity of limit
}

// failed records that the relay cannot be used at the endpoint.
func (e *endpoint) failed(err error, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rest = min(max(2*e.rest, firstRest), lastRest)
	e.until, e.err = now.Add(e.rest), err
}

// avoid records that another endpoint is better for the time d.
func (e *endpoint) avoid(err error, now time.Time, d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.until, e.err = now.Add(d), err
}

// worked records that the relay can be used at the endpoint.
func (e *endpoint) worked() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.rest > 0 {
		e.rest, e.until, e.err = 0, time.Time{}, nil
	}
}

// restsUntil returns the end of the rest; zero: no rest.
func (e *endpoint) restsUntil(now time.Time) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !now.Before(e.until) {
		return time.Time{}
	}
	return e.until
}

// closed records that the relay ended a connection after n transactions, and was well otherwise. If two connections end
// after the same number, the number is the limit for a connection. sure is false if a message may be the cause: then
// three connections are needed.
func (e *endpoint) closed(n int, sure bool, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n != e.ended {
		e.ended, e.endings = n, 0
	}
	e.endings++
	if n > 0 && (sure && e.endings >= 2 || e.endings >= 3) {
		if e.limit != n || !now.Before(e.limitEnd) {
			e.changes.Add(1)
		}
		e.limit, e.limitEnd = n, now.Add(learned)
	}
}

// most returns the limit for the transactions on a connection; zero: no limit.
func (e *endpoint) most(now time.Time) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !now.Before(e.limitEnd) {
		return 0
	}
	return e.limit
}

// isIPv6 reports whether the endpoint is an IPv6 address.
func (e *endpoint) isIPv6() bool {
	ap, err := netip.ParseAddrPort(e.addr)
	return err == nil && !ap.Addr().Unmap().Is4()
}

// HostResolver makes the DNS lookup for the addresses of a host. *net.Resolver implements HostResolver.
type HostResolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// The limits of one search for a connection, so that a relay with many silent addresses does not keep the next relay
// waiting. An endpoint that fails rests, so the next search begins with other endpoints.
const (
	maxEndpoints = 5               // as in Postfix (smtp_mx_address_limit)
	searchTime   = 2 * time.Minute // after it no further endpoint is tried; less with a short Timeout
)

// endpoints returns the endpoints of the relay in order of preference: from one to maxEndpoints, or an error. An
// endpoint that rests comes after the others.
func (c *connector) endpoints(ctx context.Context) ([]*endpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	places, err := c.address.places(ctx, c.resolver)
	if err != nil {
		return nil, err
	}
	var all []*endpoint
	var failures []error
	for _, p := range places {
		addrs, err := c.lookup(ctx, p)
		if err != nil {
			failures = append(failures, err)
		}
		for _, addr := range addrs {
			all = append(all, c.endpoint(p, addr))
		}
	}
	if len(all) == 0 {
		return nil, errors.Join(failures...)
	}
	now := time.Now()
	slices.SortStableFunc(all, func(a, b *endpoint) int {
		return cmp.Compare(a.restsUntil(now).UnixNano(), b.restsUntil(now).UnixNano())
	})
	return all[:min(len(all), maxEndpoints)], nil
}

// endpoint returns the endpoint for an address, always the same one.
func (c *connector) endpoint(p place, addr string) *endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := p.network + " " + p.host + " " + addr
	e := c.known[key]
	if e == nil {
		e = &endpoint{place: p, addr: addr}
		c.known[key] = e
	}
	return e
}

// other reports whether the relay has an endpoint that does not rest.
func (c *connector) other(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.known {
		if e.restsUntil(now).IsZero() {
			return true
		}
	}
	return false
}

// lookup returns the addresses of a place for Dial.
func (c *connector) lookup(ctx context.Context, p place) ([]string, error) {
	if c.hosts == nil || p.network != "tcp" {
		return []string{p.addr}, nil
	}
	host, port, err := net.SplitHostPort(p.addr)
	if err != nil {
		return nil, err
	}
	if n, err := net.LookupPort("tcp", port); err == nil {
		port = fmt.Sprint(n)
	}
	ips, err := c.hosts.LookupNetIP(ctx, c.family, host)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
	}
	var addrs []string
	for _, ip := range alternate(ips) {
		addrs = append(addrs, net.JoinHostPort(ip.String(), port))
	}
	return addrs, nil
}

// alternate orders addresses so that the families take turns, beginning with the family of the first address (RFC 8305,
// section 4).
func alternate(ips []netip.Addr) (ordered []netip.Addr) {
	var first, second []netip.Addr
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is4() == ips[0].Unmap().Is4() {
			first = append(first, ip)
		} else {
			second = append(second, ip)
		}
	}
	for i := range max(len(first), len(second)) {
		for _, family := range [][]netip.Addr{first, second} {
			if i < len(family) {
				ordered = append(ordered, family[i])
			}
		}
	}
	return ordered
}
