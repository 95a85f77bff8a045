package smtpclient

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// Certificates that the system gets while the process runs are used by the next handshake.
func TestAuthoritiesOfTheSystemAreReadAnew(t *testing.T) {
	is := is.New(t)
	dir := t.TempDir()
	bundle, certs := filepath.Join(dir, "bundle.pem"), filepath.Join(dir, "certs")
	is.NoErr(os.Mkdir(certs, 0o700))
	var texts []string
	for range 3 {
		pair, _ := smtptest.Certificate(t, "127.0.0.1")
		texts = append(texts, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	}
	write := func(path, text string) { is.NoErr(os.WriteFile(path, []byte(text), 0o600)) }
	has := func(a *authorities, those ...string) bool {
		pool := x509.NewCertPool()
		is.True(pool.AppendCertsFromPEM([]byte(strings.Join(those, ""))))
		return a.current().Equal(pool)
	}
	changed := time.Now()
	change := func() { // with another modification time, as some file systems store hundredths of a second
		changed = changed.Add(time.Second)
		is.NoErr(os.Chtimes(certs, changed, changed))
	}
	write(bundle, texts[0])

	a := newAuthorities([]string{filepath.Join(dir, "none"), bundle, "/dev/null"}, []string{certs, filepath.Join(dir, "no")})
	is.True(a.current() == nil) // the file has not changed
	write(bundle, texts[0]+texts[1])
	is.True(has(a, texts[0], texts[1]))
	pool := a.current()
	is.True(pool == a.current()) // the file is not read again
	write(filepath.Join(certs, "own.crt"), texts[2])
	change()
	is.True(has(a, texts...))
	is.NoErr(os.Remove(filepath.Join(certs, "own.crt")))
	change()
	is.True(has(a, texts[0], texts[1]))
	write(bundle, "") // the file is being written
	is.True(has(a, texts[0], texts[1]))
	write(bundle, texts[1])
	is.True(has(a, texts[1]))
	is.NoErr(os.Remove(bundle))
	is.True(has(a, texts[1]))

	env := map[string]string{"SSL_CERT_FILE": bundle, "SSL_CERT_DIR": certs + ":" + dir}
	set := systemAuthorities("linux", func(key string) string { return env[key] })
	is.Equal(set.files, []string{bundle})
	is.Equal(set.dirs, []string{certs, dir})
	is.True(systemAuthorities("windows", os.Getenv).current() == nil) // Windows verifies certificates itself
	is.True(len(systemAuthorities("linux", func(string) string { return "" }).files) > 1)
}
