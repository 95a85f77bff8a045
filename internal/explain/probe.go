package explain

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/diagnose"
	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtppool"
)

// An Answer is the answer of a relay to a message.
type Answer int

// The answers, from good to bad.
const (
	Accepted Answer = iota // for all recipients
	Later                  // not now, for at least one recipient, or no relay can be used
	Refused                // for good, for at least one recipient
)

// Probe asks each of the relays whether it would accept the message, writes the results, and returns the answer of the
// first usable relay. No content is sent.
func (p *Plan) Probe(ctx context.Context, page Page) Answer {
	to := p.offered()
	answer, answered := Later, false
	for _, r := range p.way.relays {
		if r.smtp == nil {
			page.Head("Probe of %s", r.name)
			page.Line("not run", "a program would deliver the message")
			continue
		}
		visits := r.smtp.Probe(ctx, p.transaction(to))
		for i, v := range visits {
			p.writeVisit(page, r.smtp, v, to)
			if last := i == len(visits)-1; last && v.Err == nil && !answered {
				answer, answered = answerOf(v.Results), true
			}
		}
		if p.Remembered != nil {
			for _, fact := range p.Remembered(r.name) {
				page.Line("remembered", "%s", fact)
			}
		}
	}
	return answer
}

// transaction returns the offer of the message. Its content is only measured.
func (p *Plan) transaction(to []string) *smtpclient.Transaction {
	t := &smtpclient.Transaction{
		From: p.way.rules.Envelope(p.addresses.From), To: to, Size: p.size, EightBit: p.eightBit,
		UTF8:    p.file.HasUTF8Header(),
		Content: p.content(), SevenBit: smtppool.SevenBit(p.content),
	}
	if env := p.file.Envelope; env != nil && p.way.rules.Redirect() == "" {
		t.Ret, t.EnvID = env.Ret, env.EnvID
		t.Notify, t.ORcpt = env.Wishes(to)
	}
	return t
}

func answerOf(results []smtpclient.Result) Answer {
	answer := Accepted
	for _, r := range results {
		if r.Err == nil {
			continue
		}
		if diagnose.Of(r.Err).Permanent {
			return Refused
		}
		answer = Later
	}
	return answer
}

func (p *Plan) writeVisit(page Page, r *smtppool.Relay, v smtppool.Visit, to []string) {
	name := r.Name()
	if v.Addr != "" && v.Addr != name {
		name += ", at " + v.Addr
	}
	page.Head("Probe of %s", name)
	if v.Remote != "" {
		page.Line("connected", "to %s", v.Remote)
	}
	var unverified *tls.CertificateVerificationError
	switch state := v.Survey.TLS; {
	case state != nil:
		page.Line("TLS", "%s, %s", tls.VersionName(state.Version), tls.CipherSuiteName(state.CipherSuite))
		p.writeCertificate(page, state.PeerCertificates)
	case v.Err != nil && errors.As(v.Err.Err, &unverified):
		p.writeCertificate(page, unverified.UnverifiedCertificates)
	case v.Err == nil:
		page.Line("TLS", "none")
	}
	if len(v.Survey.Offers) > 0 {
		page.Line("offers", "%s", strings.Join(v.Survey.Offers, ", "))
	}
	if v.Survey.Mechanism != "" {
		page.Line("login", "%s with %s%s", p.way.settings.User, v.Survey.Mechanism,
			map[bool]string{true: " accepted"}[v.Err == nil])
	}
	if v.Err != nil {
		page.Line("trouble", "%v", v.Err)
		page.Advice(diagnose.Of(v.Err).Advice())
		return
	}
	p.writeAnswers(page, v.Results, to)
}

// writeAnswers writes the answer for each recipient.
func (p *Plan) writeAnswers(page Page, results []smtpclient.Result, to []string) {
	var last *smtpclient.Error
	for i, r := range results {
		switch {
		case r.Err == nil:
			page.Line("accepted", "%s", to[i])
			continue
		case diagnose.Of(r.Err).Permanent:
			page.Line("refused", "%s  %v", to[i], r.Err)
		default:
			page.Line("deferred", "%s  %v", to[i], r.Err)
		}
		if last == nil || last.Op != r.Err.Op || last.Reply.Code != r.Err.Reply.Code ||
			last.Reply.Enhanced != r.Err.Reply.Enhanced {
			page.Advice(diagnose.Of(r.Err).Advice()) // not again for the next recipients with the same reason
		}
		last = r.Err
	}
}

// writeCertificate writes the relay's certificate, the first of the chain, and the pin of its key.
func (p *Plan) writeCertificate(page Page, chain []*x509.Certificate) {
	if len(chain) == 0 {
		return
	}
	cert := chain[0]
	names := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = []string{"no host"}
	}
	page.Line("certificate", "for %s", strings.Join(names, ", "))
	page.Line("", "signed by %s", cert.Issuer)
	left := cert.NotAfter.Sub(p.now)
	switch {
	case left < 0:
		page.Line("", "valid until %s, expired", stamp(cert.NotAfter))
	default:
		page.Line("", "valid until %s, %s more", stamp(cert.NotAfter), console.Span(left))
	}
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	page.Line("", "its key is sha256//%s", base64.StdEncoding.EncodeToString(sum[:]))
}
