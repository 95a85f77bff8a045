package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLinkedPackages keeps packages out of sendmail-spool that cost start time, memory or trust in a command which may
// be installed set-group-ID.
func TestLinkedPackages(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go list -deps: %v\n%s", err, out)
	}
	list := string(out)
	if !strings.Contains(list, "spoolgore/internal/record\n") {
		t.Error("sendmail-spool does not use internal/record")
	}
	for pkg := range strings.Lines(list) {
		pkg = strings.TrimSpace(pkg)
		for _, unwanted := range []string{
			"enmime", "xdg-go", "scram", "prometheus", "net/http", "html/template",
			"emersion/go-smtp", "emersion/go-sasl", "crypto/tls", "crypto/x509", "spoolgore/internal/stdiosmtp",
			"spoolgore/internal/smtpclient", "spoolgore/internal/queue", "spoolgore/internal/journal",
		} {
			if strings.Contains(pkg, unwanted) {
				t.Errorf("sendmail-spool is linked with %s", pkg)
			}
		}
	}
	if strings.Contains(list, "github.com/unbit/spoolgore\n") {
		t.Error("sendmail-spool is linked with the daemon")
	}
}
