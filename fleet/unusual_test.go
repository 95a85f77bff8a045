package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/matryer/is"
)

// others.
func TestUnusualFilesAreHandedOn(t *testing.T) {
	is := is.New(t)
	q, dir := open(t, Options{}), t.TempDir()
	for name, envelope := range map[string]string{
		"a":         `{"from": "a@example.com", "to": ["b@example.org"], "priority": 99999999999}`,
		"b":         `{"from": "a@example.com", "to": ["b@example.org"], "notBefore": "2026-01-02T03:04:05+20:00"}`,
		"c\xe9.eml": `{"from": "a@example.com", "to": ["b@example.org"]}`,
		"d":         `{"from": "a@example.com", "to": ["b@example.org"]}`,
		"e":         `{"from": "a@example.com", "to": ["b@example.org"], "notBefore": "9999-12-31T23:00:00-02:00"}`,
	} {
		text := "X-Spoolgore-Envelope: " + envelope + "\n" + mail(fmt.Sprintf("m %x", name))
		is.NoErr(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	host(t, dir, q.HandOn(), nil)
	eventually(t, "every message is handed on", func() bool { return files(t, dir) == 0 && rows(t, q) == 5 })
}
