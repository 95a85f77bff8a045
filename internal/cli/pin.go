package cli

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtppool"
)

func pinCommand() *command {
	c := &command{
		name:     "pin",
		operands: []string{"HOST[:PORT]"},
		brief:    "show the certificate of a relay, and print the line for -smtppin",
		about: `Connects to a relay, with TLS from the first byte on port 465 and else with STARTTLS, and shows its
certificate without any trust in it. The last line is the setting that trusts its key alone. Compare the key with one
that the operator of the relay has told you: an attacker on the way can show another one. No login is made, and no mail
is sent. Without PORT, it is 587.`,
		flags: config.NewFlagSet("pin"),
	}
	c.run = func(p *Program, args []string) int {
		if len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
			c.writeHelp(p)
			return ExitOK
		}
		// A URL can have a password, which an error would repeat.
		if len(args) != 1 || strings.HasPrefix(args[0], "-") || strings.ContainsAny(args[0], "/@") {
			return p.UsageError(errors.New("pin: want HOST or HOST:PORT of one relay, such as mail.example.com:587"))
		}
		host, port, err := net.SplitHostPort(args[0])
		if err != nil {
			host, port = strings.Trim(args[0], "[]"), "587"
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		chain, err := certificates(ctx, host, port)
		if err != nil {
			fmt.Fprintf(p.Stderr, "spoolgore: pin: %s\n", console.Escape(err.Error()))
			return ExitNotDone
		}
		writePin(p, host, chain)
		return ExitOK
	}
	return c
}

// certificates returns the certificates that the relay shows, that of the relay first.
func certificates(ctx context.Context, host, port string) (chain []*x509.Certificate, err error) {
	const limit = 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	nc, err := smtppool.Dial(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, otherPort(host, port))
	}
	mode := smtpclient.TLSStartTLS
	if port == "465" {
		mode = smtpclient.TLSImplicit
	}
	conn, err := smtpclient.Connect(ctx, nc, smtpclient.Config{
		Host: host, TLS: mode, Timeout: limit, LocalName: "localhost",
		TLSConfig: &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(state tls.ConnectionState) error {
			chain = state.PeerCertificates
			return nil
		}},
	})
	if err == nil {
		_ = conn.Quit() // the certificate is known
	}
	if len(chain) > 0 {
		return chain, nil
	}
	return nil, fmt.Errorf("no certificate from %s: %w%s", net.JoinHostPort(host, port), err, otherPort(host, port))
}

// otherPort returns the advice to try a relay at another port.
func otherPort(host, port string) string {
	if port == "465" {
		return "; for STARTTLS: spoolgore pin " + net.JoinHostPort(host, "587")
	}
	return "; for TLS from the first byte: spoolgore pin " + net.JoinHostPort(host, "465")
}

// writePin prints the certificate of a relay and the setting for its key.
func writePin(p *Program, host string, chain []*x509.Certificate) {
	cert := chain[0]
	line := func(about, text string) { fmt.Fprintf(p.Stdout, "%-12s %s\n", about, console.Escape(text)) }
	names := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	line("certificate", "for "+strings.Join(names, ", "))
	line("signed by", cert.Issuer.String())
	line("valid", cert.NotBefore.Local().Format(stamp)+" to "+cert.NotAfter.Local().Format(stamp))
	opts := x509.VerifyOptions{DNSName: host, Intermediates: x509.NewCertPool()}
	for _, other := range chain[1:] {
		opts.Intermediates.AddCert(other)
	}
	trust := "yes: without -smtppin it is verified as usual"
	if _, err := cert.Verify(opts); err != nil {
		trust = "no: " + err.Error()
	}
	line("trusted here", trust)
	sum := sha256.Sum256(cert.RawSubjectPublicKeyInfo)
	fmt.Fprintf(p.Stdout, "\nsmtppin sha256//%s\n", base64.StdEncoding.EncodeToString(sum[:]))
}
