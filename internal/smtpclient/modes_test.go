package smtpclient

import (
	"slices"
	"testing"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// A mode is a way to offer transactions. The outcomes must not depend on it.
type mode struct {
	name string
	ext  []string
}

var modes = []mode{
	{"lock-step", []string{"8BITMIME", "SIZE"}},
	{"pipelining", []string{"8BITMIME", "SIZE", "PIPELINING"}},
	{"chunking", []string{"8BITMIME", "SIZE", "PIPELINING", "CHUNKING"}},
}

func (m mode) chunking() bool { return slices.Contains(m.ext, "CHUNKING") }

func (m mode) lockStep() bool { return !slices.Contains(m.ext, "PIPELINING") }

// inEachMode runs a test for each mode, each with a relay.
func inEachMode(t *testing.T, test func(t *testing.T, m mode, r *smtptest.Relay)) {
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) { test(t, m, &smtptest.Relay{Ext: m.ext}) })
	}
}
