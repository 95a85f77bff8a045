//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// spoolgorePeer is Spoolgore with n transactions at the same time; zero: its default.
func spoolgorePeer(n int) peer {
	return peer{
		fill:     func(e *env, l load) error { return spoolFiles(e, l, "") },
		release:  func(e *env) error { return spoolgoreStart(e, n) },
		sendmail: spoolgoreSendmail,
		submit: func(e *env, l load, n int) error {
			tmp := filepath.Join(spool(e), "tmp", strconv.Itoa(n))
			if err := os.WriteFile(tmp, l.message(n), 0o600); err != nil {
				return err
			}
			return os.Rename(tmp, filepath.Join(spool(e), strconv.Itoa(n)+".eml"))
		},
		later: func(e *env, l load) error {
			at := time.Now().Add(6 * time.Hour).UTC().Format(time.RFC3339)
			envelope := fmt.Sprintf(`X-Spoolgore-Envelope: {"from":%q,"to":[%q],"notBefore":%q}`, sender, recipient, at)
			if err := spoolFiles(e, l, envelope+"\n"); err != nil {
				return err
			}
			return spoolgoreStart(e, n)
		},
	}
}

func spool(e *env) string { return filepath.Join(e.dir, "spool") }

func spoolFiles(e *env, l load, head string) error {
	return l.write(spool(e), 0o600, func(n int) string { return fmt.Sprintf("%06d.eml", n) }, head)
}

func spoolgoreStart(e *env, n int) error {
	args := []string{e.conf.spoolgore, "-smtpaddr", e.relay, "-localname", "bench.test"}
	if e.ca != "" {
		args = append(args, "-smtptls", "tls", "-smtpca", e.ca)
	}
	if n > 0 {
		args = append(args, "-concurrency", strconv.Itoa(n))
	}
	args = append(args, strings.Fields(e.conf.spoolgoreArgs)...)
	return e.start("", append(args, spool(e))...)
}
