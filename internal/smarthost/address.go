package smarthost

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

// Resolver looks up what mx: and srv: need. A *net.Resolver is one.
type Resolver interface {
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
	LookupSRV(ctx context.Context, service, proto, name string) (cname string, addrs []*net.SRV, err error)
}

// A place is where to connect to.
type place struct {
	network, addr string // as for Options.Dial
	host          string // name that the certificate must have
	tls           bool   // from the first byte, whatever the settings say
}

// An address is a relay as it is configured: a place, or a domain whose places stand in the DNS.
type address struct {
	place
	lmtp    bool
	mx, srv string // the domain
}

const (
	smtpPort  = "25"
	smtpsPort = "465"
)

// parseAddress reads one of the forms of Options.Addr.
func parseAddress(addr string) (a address, err error) {
	if strings.ContainsRune(addr, '@') { // not repeated in the error: a password may stand before it
		return a, errors.New("a relay's address cannot hold an \"@\": user and password are settings of their own")
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
		a.mx, err = domain(rest)
	case "srv:":
		a.srv, err = domain(rest)
	}
	if err != nil {
		return address{}, fmt.Errorf("relay %q: %w", addr, err)
	}
	return a, nil
}

// cutScheme parts addr after the scheme; with an empty scheme it is host:port. So is "mx:25": a host may have such a name.
func cutScheme(addr string) (scheme, rest string) {
	for _, scheme := range []string{"smtp://", "smtps://", "lmtp+unix://", "lmtp://", "lmtp:/", "lmtp:", "mx:", "srv:"} {
		if len(addr) < len(scheme) || !strings.EqualFold(addr[:len(scheme)], scheme) {
			continue
		}
		if rest := addr[len(scheme):]; strings.Trim(rest, "0123456789") != "" || rest == "" || strings.HasSuffix(scheme, "/") {
			return scheme, rest
		}
	}
	return "", addr
}

// tcpPlace reads host:port; with a port that stands for none, also a host alone, and a slash at the end.
func tcpPlace(s, noPort string) (place, error) {
	if noPort != "" {
		s = strings.TrimSuffix(s, "/")
		if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil || !strings.Contains(s, ":") {
			s = net.JoinHostPort(strings.Trim(s, "[]"), noPort)
		}
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || port == "" || strings.ContainsAny(host, " /\t\r\n") {
		return place{}, errors.New("it is not host:port")
	}
	if n, err := net.LookupPort("tcp", port); err != nil || n == 0 {
		return place{}, fmt.Errorf("there is no port %q", port)
	}
	return place{network: "tcp", addr: s, host: host}, nil
}

func unixPlace(path string) (place, error) {
	if path == "/" || strings.ContainsRune(path, 0) {
		return place{}, errors.New("it has no path of a socket")
	}
	return place{network: "unix", addr: path, host: "localhost"}, nil
}

func domain(s string) (string, error) {
	if strings.Trim(s, ".") == "" || strings.ContainsAny(s, ":/ \t\r\n") {
		return "", errors.New("it has no domain")
	}
	return s, nil
}

// places returns where to connect to, in order of preference: one at least, or an error.
func (a *address) places(ctx context.Context, r Resolver) ([]place, error) {
	switch {
	case a.mx != "":
		return mxPlaces(ctx, r, a.mx)
	case a.srv != "":
		return srvPlaces(ctx, r, a.srv)
	}
	return []place{a.place}, nil
}

// mxPlaces returns the MX hosts of a domain, the domain itself if it has none (RFC 5321, section 5.1), and an error if it
// says that it takes no mail (RFC 7505).
func mxPlaces(ctx context.Context, r Resolver, domain string) (places []place, err error) {
	if _, err := netip.ParseAddr(domain); err == nil {
		return []place{hostPlace(domain, smtpPort)}, nil
	}
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

// srvPlaces returns the hosts for submission of a domain: those with TLS from the first byte, then the others. A host "."
// says that there is no such service (RFC 2782).
func srvPlaces(ctx context.Context, r Resolver, domain string) (places []place, err error) {
	var troubles []error
	for _, service := range []string{"submissions", "submission"} {
		_, hosts, err := r.LookupSRV(ctx, service, "tcp", domain)
		if err != nil && len(hosts) == 0 && !isNotFound(err) {
			troubles = append(troubles, err)
		}
		for _, srv := range hosts {
			if srv.Target == "." || srv.Target == "" {
				continue
			}
			p := hostPlace(srv.Target, fmt.Sprint(srv.Port))
			p.tls = service == "submissions"
			places = append(places, p)
		}
	}
	switch {
	case len(places) > 0:
		return places, nil
	case len(troubles) > 0:
		return nil, fmt.Errorf("look up the SRV for submission of %s: %w", domain, errors.Join(troubles...))
	}
	return nil, fmt.Errorf("%s has no SRV for submission", domain)
}

func hostPlace(host, port string) place {
	host = strings.TrimSuffix(host, ".")
	return place{network: "tcp", addr: net.JoinHostPort(host, port), host: host}
}

func isNotFound(err error) bool {
	var e *net.DNSError
	return errors.As(err, &e) && e.IsNotFound
}

// mode is how p is spoken to where mode is what the settings say.
func (p place) mode(mode smtpclient.TLSMode) smtpclient.TLSMode {
	if p.tls || mode == smtpclient.TLSAuto && p.usesTLS() {
		return smtpclient.TLSImplicit
	}
	return mode
}

// usesTLS reports whether p is spoken to with TLS from the first byte where the settings leave that open.
func (p place) usesTLS() bool {
	_, port, err := net.SplitHostPort(p.addr)
	return err == nil && slices.Contains([]string{smtpsPort, "smtps", "submissions"}, port)
}
