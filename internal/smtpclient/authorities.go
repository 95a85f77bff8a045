package smtpclient

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// authorities are the certificate authorities of the system. Package crypto/x509 reads them once in a process; a daemon
// that runs for months needs later ones, too.
type authorities struct {
	files []string // of which the first one that exists is read
	dirs  []string // of which all files are read

	mu     sync.Mutex
	stamp  string         // of the files that pool was read from
	pool   *x509.CertPool // nil: the files are those of the start, which crypto/x509 has read or will read
	failed bool           // the last reading found no certificate
}

// system has the authorities of this system, as the same list of crypto/x509 is one of the process.
var system = systemAuthorities(runtime.GOOS, os.Getenv)

// systemAuthorities returns the authorities in the files that crypto/x509 reads on the operating system. There are no
// files on systems that verify certificates themselves.
func systemAuthorities(system string, env func(string) string) *authorities {
	var files, dirs string
	switch system {
	case "linux":
		files = "/etc/ssl/certs/ca-certificates.crt:/etc/pki/tls/certs/ca-bundle.crt:/etc/ssl/ca-bundle.pem:" +
			"/etc/pki/tls/cacert.pem:/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem:/etc/ssl/cert.pem"
		dirs = "/etc/ssl/certs:/etc/pki/tls/certs"
	case "freebsd", "openbsd", "netbsd", "dragonfly":
		files = "/usr/local/etc/ssl/cert.pem:/etc/ssl/cert.pem:/usr/local/share/certs/ca-root-nss.crt:" +
			"/etc/openssl/certs/ca-certificates.crt"
		dirs = "/etc/ssl/certs:/usr/local/share/certs:/etc/openssl/certs"
	default:
		return newAuthorities(nil, nil)
	}
	list := strings.Split(files, ":")
	if file := env("SSL_CERT_FILE"); file != "" {
		list = []string{file}
	}
	return newAuthorities(list, strings.Split(cmp.Or(env("SSL_CERT_DIR"), dirs), ":"))
}

func newAuthorities(files, dirs []string) *authorities {
	a := &authorities{files: files, dirs: dirs}
	a.stamp = a.look()
	return a
}

// look returns a text that changes when a file is written, or a file is added to a directory or removed.
func (a *authorities) look() string {
	var b strings.Builder
	for _, list := range [][]string{a.files, a.dirs} {
		for _, path := range list {
			if fi, err := os.Stat(path); err == nil {
				fmt.Fprintln(&b, path, fi.Size(), fi.ModTime().UnixNano())
			}
		}
	}
	return b.String()
}

// current returns the authorities for the next handshake; nil stands for those that crypto/x509 has. While the files
// hold no certificate, perhaps because another program writes them, the authorities stay as they were.
func (a *authorities) current() *x509.CertPool {
	stamp := a.look() // before the files are read: a later change is seen by the next call
	a.mu.Lock()
	defer a.mu.Unlock()
	if stamp != a.stamp || a.failed {
		pool, found := a.read()
		if a.failed = !found; found {
			a.pool = pool
		}
		a.stamp = stamp
	}
	return a.pool
}

// read reads all files.
func (a *authorities) read() (pool *x509.CertPool, found bool) {
	pool = x509.NewCertPool()
	for _, path := range a.files {
		if text, err := os.ReadFile(path); err == nil {
			found = pool.AppendCertsFromPEM(text)
			break
		}
	}
	for _, dir := range a.dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, e := range entries {
			if text, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil && pool.AppendCertsFromPEM(text) {
				found = true
			}
		}
	}
	return pool, found
}
