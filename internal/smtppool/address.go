package smtppool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

// Resolver makes the DNS lookups for mx: and srv:. *net.Resolver implements Resolver.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, addrs []*net.SRV, err error)
}

// A place is a host and port, or a Unix socket, to connect to.
type place struct {
	network, addr string // as for Options.Dial
	host          string // host name for the certificate
	altHost       string // a second host name that the certificate may have; empty: none
	tls           bool   // TLS from the first byte, for any setting of the TLS mode
	local         bool   // configured to be on this host: a loopback literal, localhost or a Unix socket
}

// An address is the configured address of a relay: a place, or a domain with places in the DNS.
type address struct {
	place
	lmtp    bool
	mx, srv string // domain of mx: or srv:; empty: place is set
}

const (
	smtpPort  = "25"
	smtpsPort = "465"
)

// parseAddress parses Options.Addr.
func parseAddress(addr string) (a address, err error) {
	if strings.ContainsRune(addr, '@') { // the error does not repeat addr, which may hold a password
		return a, errors.New("a relay's address cannot hold an \"@\": set user and password by smtpuser and " +
			"smtppasswordfile")
	}
	scheme, rest := cutScheme(addr)
	switch scheme {
	case "smtp://", "":
		port := ""
		if scheme != "" {
			port = smtpPort
		}
		a.place, err = tcpPlace(rest, port)
	case "smtps://":
		a.place, err = tcpPlace(rest, smtpsPort)
		a.tls = true
	case "lmtp+unix://", "lmtp:/":
		a.lmtp = true
		a.place, err = unixPlace("/" + strings.TrimPrefix(rest, "/"))
	case "lmtp://", "lmtp:":
		a.lmtp = true
		a.place, err = tcpPlace(rest, "")
	case "mx:":
		if a.mx, err = domain(rest); isLiteral(a.mx) { // no DNS answer names the host
			a.mx, a.place = "", hostPlace(a.mx, smtpPort)
			a.local = isLocal(a.host)
		}
	case "srv:":
		a.srv, err = domain(rest)
	}
	if err != nil {
		return address{}, fmt.Errorf("relay %q: %w", addr, err)
	}
	return a, nil
}

// cutScheme splits addr after the scheme. An empty scheme means host:port. "mx:25" is host:port, too: a host may be
// named mx.
func cutScheme(addr string) (scheme, rest string) {
	for _, scheme := range []string{
		"smtp://", "smtps://", "lmtp+unix://", "lmtp://", "lmtp:/", "lmtp:", "mx:", "srv:",
	} {
		if len(addr) < len(scheme) || !strings.EqualFold(addr[:len(scheme)], scheme) {
			continue
		}
		rest := addr[len(scheme):]
		if strings.Trim(rest, "0123456789") != "" || rest == "" || strings.HasSuffix(scheme, "/") {
			return scheme, rest
		}
	}
	return "", addr
}

// tcpPlace parses host:port. If defaultPort is set, the port is optional, and a slash may follow.
func tcpPlace(s, defaultPort string) (place, error) {
	if defaultPort != "" {
		s = strings.TrimSuffix(s, "/")
		if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil || !strings.Contains(s, ":") {
			s = net.JoinHostPort(strings.Trim(s, "[]"), defaultPort)
		}
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || port == "" || strings.ContainsAny(host, " /\t\r\n") {
		return place{}, errors.New("it is not host:port, such as mail.example.com:587")
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n == 0 {
		if strings.HasPrefix(port, "//") {
			return place{}, errors.New("write HOST:PORT, or an address that begins with smtp://, smtps://, lmtp://, " +
				"lmtp+unix:///, mx:, srv: or exec: instead")
		}
		return place{}, fmt.Errorf("there is no port %q; write a number, such as mail.example.com:587", port)
	}
	return place{network: "tcp", addr: s, host: host, local: isLocal(host)}, nil
}

// unixPlace parses the path of a Unix socket.
func unixPlace(path string) (place, error) {
	if path == "/" || strings.ContainsRune(path, 0) {
		return place{}, errors.New("it has no path of a socket")
	}
	return place{network: "unix", addr: path, host: "localhost", local: true}, nil
}

// domain checks the domain of mx: and srv:.
func domain(s string) (string, error) {
	if strings.Trim(s, ".") == "" || strings.ContainsAny(s, ":/ \t\r\n") {
		return "", errors.New("it has no domain")
	}
	return s, nil
}

// places returns the places of the relay, in order of preference: at least one, or an error.
func (a *address) places(ctx context.Context, r Resolver) ([]place, error) {
	switch {
	case a.mx != "":
		return mxPlaces(ctx, r, a.mx)
	case a.srv != "":
		return srvPlaces(ctx, r, a.srv)
	}
	return []place{a.place}, nil
}

// mxPlaces returns the MX hosts of a domain, or the domain if there is no MX (RFC 5321, section 5.1). A null MX is an
// error (RFC 7505).
func mxPlaces(ctx context.Context, r Resolver, domain string) (places []place, err error) {
	hosts, err := r.LookupMX(ctx, domain)
	if len(hosts) == 0 && (err == nil || isNotFound(err)) {
		return []place{hostPlace(domain, smtpPort)}, nil
	}
	if len(hosts) == 0 {
		return nil, fmt.Errorf("look up the MX of %s: %w", domain, err)
	}
	for _, mx := range hosts {
		if mx.Host != "." && mx.Host != "" {
			places = append(places, hostPlace(mx.Host, smtpPort))
		}
	}
	if len(places) == 0 {
		return nil, fmt.Errorf("%s takes no mail: its MX is \".\"", domain)
	}
	return places, nil
}

// srvPlaces returns the submission hosts of a domain, hosts with implicit TLS first. The host "." means no service
// (RFC 2782). Anyone who can forge a DNS answer can name a host of their own with a valid certificate. So the
// certificate has to be for the domain, or for a host inside the domain (RFC 6186, section 6; RFC 7817).
func srvPlaces(ctx context.Context, r Resolver, domain string) (places []place, err error) {
	var failures []error
	for _, service := range []string{"submissions", "submission"} {
		_, hosts, err := r.LookupSRV(ctx, service, "tcp", domain)
		if err != nil && len(hosts) == 0 && !isNotFound(err) {
			failures = append(failures, err)
		}
		for _, srv := range hosts {
			if srv.Target == "." || srv.Target == "" {
				continue
			}
			p := hostPlace(srv.Target, fmt.Sprint(srv.Port))
			p.tls = service == "submissions"
			if p.altHost = strings.TrimSuffix(domain, "."); !isInside(p.host, p.altHost) {
				p.host, p.altHost = p.altHost, ""
			}
			places = append(places, p)
		}
	}
	switch {
	case len(places) > 0:
		return places, nil
	case len(failures) > 0:
		return nil, fmt.Errorf("look up the SRV for submission of %s: %w", domain, errors.Join(failures...))
	}
	return nil, fmt.Errorf("%s has no SRV for submission", domain)
}

func hostPlace(host, port string) place {
	host = strings.TrimSuffix(host, ".")
	return place{network: "tcp", addr: net.JoinHostPort(host, port), host: host}
}

// isLiteral reports whether host is an IP address.
func isLiteral(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// isLocal reports whether the configured host is this host: an address in a DNS answer does not count.
func isLocal(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || strings.EqualFold(strings.TrimSuffix(host, "."), "localhost")
}

// isInside reports whether host is domain or a name inside domain.
func isInside(host, domain string) bool {
	host, domain = strings.ToLower(host), strings.ToLower(domain)
	return host == domain || strings.HasSuffix(host, "."+domain)
}

func isNotFound(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}

// mode returns the TLS mode for p. The argument is the configured mode.
func (p place) mode(mode smtpclient.TLSMode) smtpclient.TLSMode {
	if p.tls || mode == smtpclient.TLSAuto && p.usesTLS() {
		return smtpclient.TLSImplicit
	}
	return mode
}

// usesTLS reports whether the port of p implies TLS from the first byte.
func (p place) usesTLS() bool {
	_, port, err := net.SplitHostPort(p.addr)
	return err == nil && slices.Contains([]string{smtpsPort, "smtps", "submissions"}, port)
}
