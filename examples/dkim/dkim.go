// Package dkim is an example of a wrapper around the SMTP transport: it signs each message (RFC 6376) as it is sent.
// The file in the spool stays as it was written, so a new key counts for mail that waits, too.
package dkim

import (
	"context"
	"crypto"
	"io"
	"slices"
	"strings"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/unbit/spoolgore"
)

// Signer signs the messages that it passes on.
type Signer struct {
	spoolgore.Transport // of spoolgore.NewSMTP

	Domain, Selector string
	Key              crypto.Signer
}

// Deliver adds a signature and passes t on.
func (s *Signer) Deliver(ctx context.Context, t *spoolgore.Transaction) []spoolgore.Result {
	signature, err := s.sign(t.Content())
	if err != nil { // temporary, as it is no *spoolgore.DeliveryError
		return slices.Repeat([]spoolgore.Result{{Err: err}}, len(t.To))
	}
	signed := *t // t itself stays as it is
	signed.Size += int64(len(signature))
	signed.Content = func() io.Reader { return io.MultiReader(strings.NewReader(signature), t.Content()) }
	return s.Transport.Deliver(ctx, &signed)
}

// sign returns the DKIM-Signature field for a message. The message is read once, and not kept.
func (s *Signer) sign(message io.Reader) (string, error) {
	signer, err := dkim.NewSigner(&dkim.SignOptions{
		Domain: s.Domain, Selector: s.Selector, Signer: s.Key,
		HeaderCanonicalization: dkim.CanonicalizationRelaxed, BodyCanonicalization: dkim.CanonicalizationRelaxed,
	})
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(signer, message); err != nil {
		return "", err
	}
	if err := signer.Close(); err != nil {
		return "", err
	}
	return signer.Signature(), nil
}
