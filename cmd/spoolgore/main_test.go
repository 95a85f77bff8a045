package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/conf"
	"github.com/unbit/spoolgore/internal/config"
)

// asCommand is the environment variable that makes the test binary the command.
const asCommand = "SPOOLGORE_TEST_AS_COMMAND"

// testsRunIn is the environment variable that holds the process id of the running tests.
const testsRunIn = "SPOOLGORE_TESTS_RUN_IN"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	if how := os.Getenv(asWriter); how != "" {
		if err := writeOne(how, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	// The daemon executes its own process again with other settings of the runtime. If a test ran the daemon in the
	// process of the tests, all tests would begin again, and earlier failures would be lost.
	pid := strconv.Itoa(os.Getpid())
	if os.Getenv(testsRunIn) == pid {
		panic("a test has run the daemon in the process of the tests; start runs the daemon in a process of its own")
	}
	if err := os.Setenv(testsRunIn, pid); err != nil {
		panic(err)
	}
	flag.Parse()
	// the tests wait for time and other processes, not for a processor
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestUsageErrors(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		say  string
	}{
		"nothing":               {nil, "which directory"},
		"flags only":            {[]string{"-freq", "5"}, "which directory"},
		"empty directory":       {[]string{""}, "empty"},
		"two directories":       {[]string{"a", "b"}, "one directory at a time, not 2: a, b"},
		"no command":            {[]string{"watch", "b"}, "watch is neither a command nor a directory"},
		"directory as a flag":   {[]string{"-dir", "a"}, "there is no flag -dir: write the spool directory alone, behind the flags"},
		"no relay":              {[]string{"-smtpaddr", "", "a"}, "-smtpaddr is empty: write the address of the relay"},
		"flag behind":           {[]string{"a", "-freq", "5"}, "-freq comes after the directory a: flags go before the directory"},
		"flag=value behind":     {[]string{"a", "-smtppassword=secret"}, "-smtppassword comes after"},
		"unknown flag":          {[]string{"-frequency", "5", "a"}, "-frequency"},
		"flag without value":    {[]string{"-smtpaddr"}, "-smtpaddr"},
		"freq no time":          {[]string{"-freq", "often", "a"}, "-freq"},
		"freq zero":             {[]string{"-freq", "0", "a"}, "-freq"},
		"freq negative":         {[]string{"-freq", "-1", "a"}, "-freq"},
		"freq beyond all":       {[]string{"-freq", "99999999999999999999", "a"}, "-freq"},
		"attempts zero":         {[]string{"-attempts", "0", "a"}, "-attempts"},
		"attempts no number":    {[]string{"-attempts", "1.5", "a"}, "-attempts"},
		"concurrency negative":  {[]string{"-concurrency", "-2", "a"}, "-concurrency"},
		"password without user": {[]string{"-smtppassword", "secret", "a"}, "-smtppassword without -smtpuser"},
		"md5 without user":      {[]string{"-smtpmd5password", "secret", "a"}, "-smtpmd5password without -smtpmd5user"},
		"user without password": {[]string{"-smtpuser", "u", "a"}, "-smtpuser without a password"},
		"two passwords":         {[]string{"-smtpuser", "u", "-smtppassword", "secret", "-smtppasswordfile", "f", "a"}, "-smtppassword and -smtppasswordfile"},
		"token as a value":      {[]string{"-smtpuser", "u", "-smtptoken", "secret", "a"}, "-smtptoken takes no value"},
		"token with =":          {[]string{"-smtpuser", "u", "-smtptoken=secret", "a"}, "-smtptoken is a switch"},
		"unknown mechanism":     {[]string{"-smtpuser", "u", "-smtppasswordcmd", "secret", "-smtpauth", "NTLM", "a"}, "-smtpauth is none of"},
		"unknown TLS mode":      {[]string{"-smtptls", "ssl", "a"}, "-smtptls is none of"},
		"key without cert":      {[]string{"-smtpkey", "k", "a"}, "-smtpcert and -smtpkey"},
		"bad pin":               {[]string{"-smtppin", "md5//x", "a"}, "spoolgore pin HOST prints the value"},
		"bad rate":              {[]string{"-rate", "14/fortnight", "a"}, "such as 100/m"},
		"empty rate":            {[]string{"-rate", "", "a"}, "-rate"},
		"warnafter zero":        {[]string{"-warnafter", "0", "a"}, "-warnafter"},
		"window zero":           {[]string{"-window", "0", "a"}, "-window"},
		"demo with a directory": {[]string{"demo", "a"}, "demo takes no directory"},
		"demo with a flag":      {[]string{"demo", "-freq", "5"}, "-freq"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			var stdout, stderr bytes.Buffer
			is.Equal(run(c.args, nil, &stdout, &stderr), 64)             // exit code of a usage error
			is.Equal(stdout.Len(), 0)                                    // errors do not go to standard output
			is.True(strings.HasPrefix(stderr.String(), "spoolgore: "))   // the prefix names the program
			is.True(strings.Contains(stderr.String(), c.say))            // the message names the mistake
			is.True(strings.Contains(stderr.String(), "spoolgore help")) // the message names the help
			is.Equal(strings.Count(stderr.String(), "\n"), 1)            // one line
			is.True(!strings.Contains(stderr.String(), "secret"))        // no password is shown
		})
	}
}

func TestHelp(t *testing.T) {
	is := is.New(t)
	var stdout, stderr bytes.Buffer
	is.Equal(run([]string{"help", "all"}, nil, &stdout, &stderr), 0) // help on request is no error
	is.Equal(stderr.Len(), 0)                                        // help goes to standard output
	known := []string{"dir", "version", "printconfig", "checkconfig", "config"}
	for _, k := range conf.Keys {
		if k.Of&conf.Daemon != 0 {
			known = append(known, k.Name)
		}
	}
	config.Flags(&config.Config{}).VisitAll(func(f *flag.Flag) {
		// internal/conf has a key for every flag
		is.True(slices.Contains(known, f.Name))
		// the help has a line for every flag
		is.True(regexp.MustCompile(`(?m)^  -` + f.Name + ` `).MatchString(stdout.String()))
	})
	for line := range strings.Lines(stdout.String()) {
		is.True(len(line) <= 121) // lines fit a window of 120 columns
	}
}

func TestVersion(t *testing.T) {
	is := is.New(t)
	var stdout, stderr bytes.Buffer
	is.Equal(run([]string{"-version"}, nil, &stdout, &stderr), 0)        // -version needs no directory
	is.True(strings.HasPrefix(stdout.String(), "spoolgore "))            // the name of the program
	is.True(strings.Contains(stdout.String(), runtime.Version()))        // the version of Go
	is.Equal(strings.Count(stdout.String(), "\n"), 1)                    // one line
	is.Equal(run([]string{"-version", "dir"}, nil, &stdout, &stderr), 0) // -version starts no daemon
	is.Equal(stderr.Len(), 0)                                            // no error output
}

// command runs the command with the arguments and an input, and returns the exit code and what it printed.
func command(stdin string, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}
