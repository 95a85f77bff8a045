package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestLinkedPackages fails if sendmail-spool imports packages that cost start time or memory, or that a command which
// may be installed set-group-ID should not trust.
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
