package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/unbit/spoolgore/internal/asowner"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/putfiles"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const putName = "put"

func putCommand() *command {
	var f putFlags
	c := &command{
		name:     putName,
		operands: []string{"[flags] [DIR] FILE...", "[flags] [DIR] -"},
		brief:    "put messages from files into the spool",
		about: `Puts messages from files into the spool; - is standard input. A file with several messages, an mbox file
or one of
Django's file-based backend, is split. The names of the messages in the spool are printed, and the files stay where they
are. If one message of a file has no recipient or no sender, none of that file is put.`,
		flags: config.NewFlagSet("put"),
	}
	c.flags.AddSwitch(&f.Mbox, "mbox", "the files are mbox files, also if they hold one message")
	c.flags.Add(textValue(f.setFrom), "from", "ADDRESS",
		`the sender, instead of that of the message; "<>" is the null sender`)
	c.flags.Add(textValue(f.addTo), "to", "ADDRESSES",
		"the recipients, instead of those of the message; may be given again")
	c.flags.Add(textValue(f.setExpire), "expire", "TIME",
		"when the message is given up: a duration such as 10m, 36h or 5d, or a time such as 2030-12-31T23:59:00Z")
	c.flags.Add(textValue(f.setNotBefore), "notbefore", "TIME", "when the message is sent at the earliest; as -expire")
	c.flags.Add(textValue(f.setPriority), "priority", "N", "of the messages that are due, a higher N goes first (0)")
	return c.onSpool(func(a *call) error { return a.put(f.Options) })
}

// putFlags are the flags of the command put.
type putFlags struct{ putfiles.Options }

func (f *putFlags) setFrom(text string) error {
	f.From = &text
	return nil
}

func (f *putFlags) addTo(text string) error {
	f.To = append(f.To, text)
	return nil
}

func (f *putFlags) setExpire(text string) (err error) {
	f.Expire, err = message.ParseTime(text, time.Now())
	return errors.Unwrap(err)
}

func (f *putFlags) setNotBefore(text string) (err error) {
	f.NotBefore, err = message.ParseTime(text, time.Now())
	return errors.Unwrap(err)
}

func (f *putFlags) setPriority(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return errors.New("not a number")
	}
	f.Priority = &n
	return nil
}

// textValue is a flag whose value the function takes.
type textValue func(text string) error

// String implements flag.Value.
func (textValue) String() string { return "" }

// Set implements flag.Value.
func (v textValue) Set(text string) error { return v(text) }

// put puts the messages of all files and prints their names.
func (c *call) put(o putfiles.Options) error {
	if len(c.operands) == 0 {
		return usageErr("which file?")
	}
	o.Host = msgfile.Host("")
	for _, path := range c.operands {
		names, err := c.putFile(path, o)
		for _, name := range names {
			fmt.Fprintln(c.out, name)
		}
		if err != nil {
			c.complain("put: %v", err)
			if len(names) > 0 {
				c.say("put: the %d messages printed above are in the spool, the others of that file are not",
					len(names))
			}
		}
	}
	return nil
}

func (c *call) putFile(path string, o putfiles.Options) ([]string, error) {
	if path != "-" {
		f, err := putfiles.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		names, err := putOpen(c.dir, f, o)
		if err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return names, err
	}
	f, err := tempFile(c.dir)
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := io.Copy(f, c.stdin); err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	names, err := putOpen(c.dir, f, o)
	if err != nil {
		err = fmt.Errorf("standard input: %w", err)
	}
	return names, err
}

// tempFile makes a temporary file: in the usual place, or else in tmp/ of the spool, as makeTemp does.
func tempFile(dir *spooldir.Dir) (f *os.File, err error) {
	const pattern = "spoolgore-put-"
	if f, err = os.CreateTemp("", pattern); err == nil {
		return f, nil
	}
	spoolErr := asowner.During(dir, func() (err error) {
		f, err = os.CreateTemp(dir.File(spooldir.TmpDir), pattern)
		return err
	})
	if spoolErr == nil {
		err = nil
	}
	return f, err
}

// putOpen puts an open file with the rights of the owner of the spool.
func putOpen(dir *spooldir.Dir, f *os.File, o putfiles.Options) (names []string, err error) {
	err = asowner.During(dir, func() error {
		names, err = putfiles.PutFile(dir, f, o)
		return err
	})
	return names, err
}
