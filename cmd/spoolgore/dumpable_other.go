//go:build !linux

package main

import (
	"log/slog"

	"github.com/unbit/spoolgore/internal/config"
)

// protectSecrets does nothing: the system is not asked.
func protectSecrets(*config.Config, *slog.Logger) {}
