package explain

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/execrelay"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/rewrite"
	"github.com/unbit/spoolgore/internal/routing"
	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtppool"
)

// A way is where a message goes.
type way struct {
	sender    string // the sender that the route is chosen by
	recipient string // the recipient that the route is chosen by; empty: the sender decides
	route     string // the sender in the line of the relays file; empty: the route of all other mail
	settings  smtppool.Settings
	relays    []hop          // in order of preference
	rules     *rewrite.Rules // for senders and recipients; nil: they stay
}

// A hop is one relay.
type hop struct {
	name string
	smtp *smtppool.Relay // nil: an exec: relay
}

// wayOf returns the way of a message with these addresses.
func wayOf(opts spoolgore.Options, a message.Addresses) (way, error) {
	w := way{sender: a.From}
	for _, list := range [][]message.Address{a.To, a.Cc, a.Bcc} {
		if len(list) > 0 {
			w.sender = routing.Sender(a.From, list[0].Addr)
			break
		}
	}
	var senders []string
	for _, r := range opts.Routes {
		senders = append(senders, rewrite.ASCIIDomain(r.Sender))
	}
	route := spoolgore.Route{SMTPAddr: opts.SMTPAddr, SMTP: opts.SMTP}
	i := routing.By(senders)(rewrite.ASCIIDomain(w.sender))
	if n, to, ok := routeTo(senders, a); ok {
		i, w.recipient = n, to
	}
	if i < len(opts.Routes) {
		route = opts.Routes[i]
	}
	w.route, w.settings = route.Sender, settingsOf(route.SMTP)
	var err error
	if w.rules, err = rulesOf(opts.Rewrite, route); err != nil {
		return w, err
	}
	config, err := w.settings.Config(opts.LocalName, opts.SMTPTimeout, opts.TLSConfig)
	if err != nil {
		return w, err
	}
	for addr := range strings.SplitSeq(route.SMTPAddr, ",") {
		if addr = strings.TrimSpace(addr); execrelay.Is(addr) {
			w.relays = append(w.relays, hop{name: addr})
			continue
		}
		r, err := smtppool.New(smtppool.Options{
			Addr: addr, Dial: opts.Dial, Client: config, Family: w.settings.Family,
		})
		if err != nil {
			return w, err
		}
		w.relays = append(w.relays, hop{r.Name(), r})
	}
	return w, nil
}

// settingsOf converts s for the SMTP client.
func settingsOf(s spoolgore.SMTP) smtppool.Settings {
	c := smtppool.Settings{
		User: s.User, Secret: s.Secret, Password: s.Password, Token: s.Token, Mechanism: s.Mechanism, Auth: s.Auth,
		TLS: string(s.TLS), TLSConfig: s.TLSConfig, Pins: s.Pins, TLSMin: s.TLSMin,
		Family: s.Family, Recipients: s.Recipients, Idle: s.Idle,
		NoPipelining: s.NoPipelining, NoChunking: s.NoChunking, Window: s.Window, Version: s.Version,
	}
	if s.TokenSource != nil {
		c.Token, c.Secret = true, func(context.Context, bool) (string, error) { return s.TokenSource() }
	}
	return c
}

// rulesOf returns the rules for the senders and recipients of the mail of a route.
func rulesOf(w spoolgore.Rewrite, r spoolgore.Route) (*rewrite.Rules, error) {
	s := rewrite.Settings{Sender: w.Sender, From: w.From, Redirect: w.Redirect, Allow: w.Allow}
	for _, p := range w.Senders {
		s.Senders = append(s.Senders, rewrite.Pair(p))
	}
	for _, p := range w.Copies {
		s.Copies = append(s.Copies, rewrite.Pair(p))
	}
	all, err := rewrite.New(s)
	if err != nil {
		return nil, err
	}
	return all.With(r.EnvelopeSender, r.HeaderFrom)
}

// routeTo returns the route of the first recipient, if the recipient has one.
func routeTo(patterns []string, a message.Addresses) (route int, first string, ok bool) {
	to := routing.To(patterns)
	all := slices.Concat(a.To, a.Cc, a.Bcc)
	if to == nil || len(all) == 0 {
		return 0, "", false
	}
	route, ok = to(rewrite.ASCIIDomain(all[0].Addr))
	return route, all[0].Addr, ok
}

// RelaysFor returns the relays for mail from one address to another, in order of preference.
func RelaysFor(opts spoolgore.Options, from, to string) (names []string, err error) {
	w, err := wayOf(opts, message.Addresses{From: from, To: []message.Address{{Addr: to}}})
	for _, r := range w.relays {
		names = append(names, r.name)
	}
	return names, err
}

// chosenBy returns the setting that names the relays.
func (w *way) chosenBy() string {
	whose := "the sender " + w.sender
	if w.recipient != "" {
		return fmt.Sprintf("the recipient %s goes by the line for %s in the relays file", w.recipient, w.route)
	}
	if w.sender == "" {
		whose = "the null sender"
	}
	if w.route == "" {
		return whose + " goes by -smtpaddr"
	}
	return fmt.Sprintf("%s goes by the line for %s in the relays file", whose, w.route)
}

// tlsOf says how TLS is used with a relay.
func (w *way) tlsOf(r *smtppool.Relay) string {
	var text string
	mode, fixed := r.TLS()
	switch pinned := len(w.settings.Pins) > 0; {
	case mode == smtpclient.TLSNone:
		return "none"
	case !fixed:
		text = "from the first byte or STARTTLS, as the DNS says"
	case mode == smtpclient.TLSImplicit:
		text = "from the first byte"
	case mode == smtpclient.TLSStartTLS || pinned:
		text = "STARTTLS, and no mail without it"
	default:
		text = "STARTTLS where it is offered, else in the clear"
	}
	text += "; " + w.verified(mode)
	if own := w.settings.TLSConfig; own != nil && len(own.Certificates) > 0 {
		text += "; our certificate is shown"
	}
	return text
}

// verified says how the relay's certificate is looked at.
func (w *way) verified(mode smtpclient.TLSMode) string {
	switch own := w.settings.TLSConfig; {
	case len(w.settings.Pins) > 0:
		return "its key must be pinned"
	case own != nil && own.RootCAs != nil:
		return "its certificate must be signed by an authority of the CA file"
	case own == nil && mode == smtpclient.TLSAuto:
		return "its certificate must be valid, unless it is on this host"
	}
	return "its certificate must be valid"
}

// login returns the text about the login, without secrets.
func (w *way) login() string {
	s := w.settings
	switch mechanisms := strings.Join(s.Mechanisms(), ", "); {
	case !s.LogsIn():
		return "none"
	case s.Mechanism == "EXTERNAL":
		return "EXTERNAL: our certificate says who we are"
	case s.Mechanism != "":
		return fmt.Sprintf("%s, with %s", s.User, mechanisms)
	default:
		return fmt.Sprintf("%s, with the first of %s that the relay offers", s.User, mechanisms)
	}
}
