package dkim

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"io"
	"log/slog"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/unbit/spoolgore"
)

func TestSignature(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var sent []byte
	relay := spoolgore.TransportFunc(func(_ context.Context, tx *spoolgore.Transaction) []spoolgore.Result {
		for range 2 { // a second attempt reads the content again
			if sent, err = io.ReadAll(tx.Content()); err != nil || int64(len(sent)) != tx.Size {
				t.Errorf("%d octets, Size %d: %v", len(sent), tx.Size, err)
			}
		}
		return make([]spoolgore.Result, len(tx.To))
	})
	spool := spoolgore.New(t.TempDir(), spoolgore.Options{
		Transport: &Signer{Transport: relay, Domain: "example.com", Selector: "s1", Key: private},
		Logger:    slog.New(slog.DiscardHandler),
	})
	text := "From: app@example.com\nTo: ann@example.org\nSubject: hello\n\n.Hello  Ann!\n"
	if err := spool.Send("app@example.com", []string{"ann@example.org"}, []byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := spool.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	verified, err := dkim.VerifyWithOptions(bytes.NewReader(sent), &dkim.VerifyOptions{LookupTXT: func(name string) ([]string, error) {
		if name != "s1._domainkey.example.com" {
			t.Error(name)
		}
		return []string{"v=DKIM1; k=ed25519; p=" + base64.StdEncoding.EncodeToString(public)}, nil
	}})
	if err != nil || len(verified) != 1 || verified[0].Err != nil {
		t.Errorf("%v, %+v: %s", err, verified, sent)
	}
}
