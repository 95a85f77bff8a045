package main

import (
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/unbit/spoolgore/internal/config"
)

// protectSecrets keeps other processes of the user from reading the memory of this process, and the kernel from dumping
// that memory, if c has a password or a token.
func protectSecrets(c *config.Config, log *slog.Logger) {
	secret := c.Opts.SMTP.Secret != nil || c.HTTPToken+c.HTTPTokenFile != ""
	for _, r := range c.Opts.Routes {
		secret = secret || r.SMTP.Secret != nil
	}
	if !secret {
		return
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		log.Warn("memory of the process cannot be protected", "err", err)
	}
}
