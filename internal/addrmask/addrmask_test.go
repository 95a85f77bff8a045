package addrmask

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestAddressKeepsTheFirstCharacterAndTheDomain(t *testing.T) {
	for address, want := range map[string]string{
		"ann@example.org": "a…@example.org", "émile@example.org": "é…@example.org", "": "",
		"a…@example.org": "a…@example.org", `"a b@c"@example.org`: `"…@example.org`, "no address": "no address",
		"@example.org": "…@example.org",
	} {
		t.Run(address, func(t *testing.T) {
			is := is.New(t)
			is.Equal(Address(address), want)
			is.Equal(Address(Address(address)), want) // a shortened address is not shortened further
		})
	}
}

func TestTextShortensEveryAddress(t *testing.T) {
	for text, want := range map[string]string{
		"550 5.1.1 <bob@example.org>: unknown":       "550 5.1.1 <b…@example.org>: unknown",
		"ann@a.example,bob@b.example; eve@[::1]":     "a…@a.example,b…@b.example; e…@[::1]",
		`"ann lee"@example.org and ann@example.org.`: `"…@example.org and a…@example.org.`,
		"421 4.7.0 try again later":                  "421 4.7.0 try again later",
	} {
		t.Run(text, func(t *testing.T) {
			is := is.New(t)
			is.Equal(Text(text), want)
		})
	}
}

func TestHandlerShortensAttributesButNotMessageIDs(t *testing.T) {
	is := is.New(t)
	var out bytes.Buffer
	on := true
	log := slog.New(NewHandler(slog.NewTextHandler(&out, nil), func() bool { return on }))
	log.With("sender", "eve@example.net").Info("x", "to", "ann@example.org", "message-id", "1.2@example.com",
		"err", errors.New("550 <bob@example.org> unknown"), "size", 3)
	text := out.String()
	is.True(strings.Contains(text, "to=a…@example.org"))
	is.True(strings.Contains(text, "sender=e…@example.net"))
	is.True(strings.Contains(text, "<b…@example.org>"))
	is.True(strings.Contains(text, "message-id=1.2@example.com"))
	is.True(strings.Contains(text, "size=3"))
	on = false
	out.Reset()
	log.Info("x", "to", "ann@example.org")
	is.True(strings.Contains(out.String(), "to=ann@example.org"))
}
