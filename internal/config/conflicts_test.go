//go:build unix

package config

import (
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestConflicts(t *testing.T) {
	for args, want := range map[string]string{
		"":                                  "",
		"-bounce=false":                     "",
		"-warnafter 4h":                     "",
		"-bounce=false -warnafter 4h":       "warnafter/bounce",
		"-smtpuser u -smtppasswordcmd true": "",
		"-smtpuser u -smtpmd5user m -smtppasswordcmd true": "smtpmd5user/smtpuser",
		"-nopipelining":                 "",
		"-nopipelining -window 8":       "window/nopipelining",
		"-nochunking -window 8":         "window/nochunking",
		"-nopipelining -nochunking":     "nochunking/nopipelining",
		"-once -http 8025":              "http/once",
		"-allow @x -redirect a@x":       "",
		"-allow @x -redirect a@y":       "redirect/allow",
		"-allow @x -bcc a@y":            "bcc/allow",
		"-bounce=false -postmaster a@x": "postmaster/bounce",
	} {
		t.Run(args, func(t *testing.T) {
			is := is.New(t)
			c, err := Parse(append(strings.Fields(args), "dir"), noEnv)
			is.NoErr(err)
			var got []string
			for _, conflict := range c.Conflicts() {
				got = append(got, conflict.Setting+"/"+conflict.Other)
				is.True(conflict.Effect != "")
			}
			is.Equal(strings.Join(got, " "), want)
		})
	}
	is := is.New(t)
	c, err := Parse([]string{"-config", configured(t, "warnafter 4h"), "dir"}, environ("SPOOLGORE_BOUNCE=no"))
	is.NoErr(err)
	is.Equal(len(c.Conflicts()), 1) // from any source
}
