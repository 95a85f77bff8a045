//go:build linux

// Command run measures Spoolgore beside other programs that queue and send mail: same messages, same relay, in turns.
// It prints a table for each scenario. bench/README.md explains the columns.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// config is the command line.
type config struct {
	spoolgore     string // path of the binary
	spoolgoreArgs string // extra flags for spoolgore
	shim          string // path of sendmail-spool
	peersRoot     string // directory with unpacked packages, for the small peers
	base          string // directory for the queues
	disk          string // directory of queues that must be on a disk
	scenarios     string
	peers         string // empty: those of the scenario
	runs          int
	quick         bool
	limit         time.Duration // of one measurement
}

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) > 0 && args[0] == "sink":
		err = runSink(args[1:], os.Stdin, os.Stdout)
	case len(args) > 2 && args[0] == "cell":
		err = runCell(args[1], args[2:])
	case len(args) > 4 && args[0] == "drop":
		err = runDrop(args[1], args[2], args[3], args[4:])
	case len(args) > 3 && args[0] == "bare":
		err = runBare(args[1], args[2], args[3])
	case len(args) > 3 && args[0] == "host":
		err = runHost(args[1], args[2], args[3])
	case len(args) > 4 && args[0] == "controls":
		err = runControls(args[1], args[2], args[3], args[4])
	default:
		err = run(args, os.Stdout)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	var c config
	fs := flag.NewFlagSet("run", flag.ContinueOnError)
	fs.StringVar(&c.spoolgore, "spoolgore", "", "`path` of the binary under test; it is built if there is none")
	fs.StringVar(&c.spoolgoreArgs, "spoolgore-args", "", "more `flags` for it")
	fs.StringVar(&c.shim, "sendmail-spool", "", "`path` of that command; it is built if there is none")
	fs.StringVar(&c.peersRoot, "root", filepath.Join(os.TempDir(), "bench-peers", "root"),
		"`directory` that peers.sh made")
	fs.StringVar(&c.base, "dir", "", "`directory` for the queues (/dev/shm if there is one; for burst /var/tmp)")
	fs.StringVar(&c.scenarios, "scenario", "", "`names`, separated by commas (all): "+scenarioNames())
	fs.StringVar(&c.peers, "peers", "",
		"`names`, separated by commas (those of the scenario), such as spoolgore,postfix:100")
	fs.IntVar(&c.runs, "runs", 3, "measurements of each, of which the median is shown")
	fs.BoolVar(&c.quick, "quick", false, "one measurement, a tenth of the messages: to see that it works")
	fs.DurationVar(&c.limit, "limit", 3*time.Minute, "what one measurement may take")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if os.Getuid() != 0 {
		return errors.New("must be root: Postfix wants it, and the small peers get a view of the file system of " +
			"their own")
	}
	if c.quick {
		c.runs = 1
	}
	chosen, err := findScenarios(c.scenarios)
	if err != nil {
		return err
	}
	clean, err := c.prepare()
	if err != nil {
		return err
	}
	defer clean()
	go func() { // the cells end when this process has ended
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
		<-stop
		clean()
		os.Exit(1)
	}()
	for _, s := range chosen {
		if err := s.measure(&c, out); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes the directory for all output, and builds Spoolgore if needed.
func (c *config) prepare() (clean func(), err error) {
	c.disk = cmp.Or(c.base, "/var/tmp")
	if info, err := os.Stat("/dev/shm"); c.base == "" && err == nil && info.IsDir() {
		c.base = "/dev/shm"
	}
	if c.base, err = os.MkdirTemp(c.base, "spoolgore-bench-"); err != nil {
		return nil, err
	}
	clean = func() { os.RemoveAll(c.base) }
	if err := os.Chmod(c.base, 0o755); err != nil { // for peers that change their user
		return clean, err
	}
	for name, path := range map[string]*string{"spoolgore": &c.spoolgore, "sendmail-spool": &c.shim} {
		if *path != "" {
			continue
		}
		*path = filepath.Join(c.base, name)
		build := exec.Command("go", "build", "-o", *path, "./cmd/"+name)
		build.Dir = ".."
		build.Env = append(os.Environ(), "CGO_ENABLED=0") // as in the packages
		if text, err := build.CombinedOutput(); err != nil {
			return clean, fmt.Errorf("build %s: %w\n%s(is the working directory bench?)", name, err, text)
		}
	}
	return clean, nil
}

// measure makes one measurement in a directory, with a sink and a log of its own.
func (c *config) measure(s *scenario, p peer) (result, error) {
	base := c.base
	if s.disk {
		base = c.disk
	}
	dir, err := os.MkdirTemp(base, strings.ReplaceAll(p.name, ":", "-")+"-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(c.base, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	e := &env{conf: c, dir: dir, log: log}
	args := s.sink
	if s.tls {
		e.ca = filepath.Join(c.base, "relay.pem")
		args = append([]string{"-tls", e.ca}, args...)
	}
	relay, err := startSink(args)
	if err != nil {
		return nil, err
	}
	defer relay.end()
	e.relay = relay.addr
	r, err := s.run(s, c, e, relay, p)
	if e.cell != nil { // not ended, as something went wrong
		e.cell.end()
	}
	if err != nil {
		return nil, fmt.Errorf("%s, %s: %w\n%s", s.name, p.name, err, tail(log.Name()))
	}
	return r, nil
}

// tail is the end of a log file.
func tail(name string) string {
	text, _ := os.ReadFile(name)
	return string(text[max(0, len(text)-2000):])
}
