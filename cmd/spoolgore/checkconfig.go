package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/unbit/spoolgore/internal/cli"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/explain"
	"github.com/unbit/spoolgore/internal/logger"
	"github.com/unbit/spoolgore/internal/smtplisten"
)

// checkConfig is -checkconfig: it reads all files that the configuration names, and touches neither the spool nor a
// relay.
func checkConfig(c config.Config, stdout, stderr io.Writer) int {
	log := logger.New(stderr, c.LogLevel(), c.LogJSON)
	logConflicts(&c, log)
	err := c.Complete(log)
	if err == nil {
		_, err = explain.RelaysFor(c.Opts, "", "")
	}
	if err == nil {
		err = checkDirectory(c.Dir)
	}
	if err == nil && c.Listen != "" {
		err = checkListen(&c)
	}
	if err == nil && c.HTTP != "" {
		_, err = newPage(&c, nil, nil, log)
	}
	if err != nil {
		fmt.Fprintf(stderr, "spoolgore: %s\n", console.EscapeLines(err.Error()))
		return cli.ExitConfig
	}
	fmt.Fprintln(stdout, "the configuration is valid")
	return cli.ExitOK
}

// checkListen checks the settings of -listen and their files.
func checkListen(c *config.Config) error {
	if err := c.CheckLoop(); err != nil {
		return err
	}
	if _, err := smtplisten.Resolve(c.Listen, c.ListenCert != "", c.ListenUser != ""); err != nil {
		return fmt.Errorf("-listen: %w", err)
	}
	_, _, err := listenFiles(c)
	return err
}

func checkDirectory(dir string) error {
	fi, err := os.Stat(dir)
	if err == nil && !fi.IsDir() {
		err = fmt.Errorf("%s is not a directory", dir)
	}
	return err
}

// logConflicts logs the settings that contradict each other.
func logConflicts(c *config.Config, log *slog.Logger) {
	for _, x := range c.Conflicts() {
		log.Warn("settings contradict each other", "setting", x.Setting, "other", x.Other, "effect", x.Effect)
	}
}
