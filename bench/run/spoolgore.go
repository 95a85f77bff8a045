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

// spoolFiles writes a load into the spool. The files are old enough to be complete: a file that was written in place a
// moment ago would be left alone for two seconds.
func spoolFiles(e *env, l load, head string) error {
	name := func(n int) string { return fmt.Sprintf("%06d.eml", n) }
	if err := l.write(spool(e), 0o600, name, head); err != nil {
		return err
	}
	old := time.Now().Add(-time.Minute)
	for n := range l.n {
		if err := os.Chtimes(filepath.Join(spool(e), name(n)), old, old); err != nil {
			return err
		}
	}
	return nil
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
