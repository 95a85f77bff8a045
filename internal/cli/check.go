package cli

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/qshape"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// checkOptions are the flags of check.
type checkOptions struct {
	warn, crit             time.Duration
	failedWarn, failedCrit int
	noDaemon, onlyDaemon   bool
}

func checkCommand() *command {
	o := checkOptions{warn: 15 * time.Minute, crit: 2 * time.Hour, failedWarn: 10, failedCrit: 100}
	c := &command{
		name:     "check",
		operands: []string{"[flags] [DIR]"},
		brief:    "check the spool and the daemon, as a plugin for monitoring",
		about: `Checks a spool, as a plugin for monitoring does: one line, with figures after a bar, and the exit code 0
(OK),
1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN: the check is not possible).`,
		notes: `It is CRITICAL too if mail waits and no daemon runs, or if the daemon has been silent for two minutes.
It
is a WARNING
that no daemon runs, that the daemon is paused, and that a report could not be delivered in the last 24 hours. It
is UNKNOWN
if DIR is no spool. Held messages and messages for later do not count. Run it as the user of the daemon, or root.`,
		flags: config.NewFlagSet("check"),
	}
	c.flags.Add((*age)(&o.warn), "warn", "AGE",
		"WARNING if a message waits so long, or a relay has been at rest so long (15m)")
	c.flags.Add((*age)(&o.crit), "crit", "AGE",
		"CRITICAL if a message waits so long, or all relays for some mail rest so long (2h)")
	c.flags.AddInt(&o.failedWarn, "failedwarn", "N",
		"WARNING if so many messages were given up in the last 24 hours; 0: never (10)")
	c.flags.AddInt(&o.failedCrit, "failedcrit", "N", "CRITICAL likewise (100)")
	c.flags.AddSwitch(&o.noDaemon, "nodaemon", "no daemon is expected to run, as where cron runs it with -once")
	c.flags.AddSwitch(&o.onlyDaemon, "onlydaemon",
		"only whether the daemon runs and is not silent, for a container: nothing else is read or checked")
	var result checkResult
	c.onSpool(func(a *call) error { return (&checker{a, &o, &result}).check() })
	onSpool := c.run
	c.run = func(p *Program, args []string) int {
		var errors bytes.Buffer // monitoring reads standard output only
		plugin := *p
		plugin.Stderr = &errors
		code := onSpool(&plugin, args)
		if code != ExitOK {
			result = checkResult{}
		}
		for line := range strings.Lines(errors.String()) {
			result.add(levelUnknown, "%s", strings.TrimPrefix(strings.TrimSpace(line), "spoolgore: "))
		}
		if result.summary == "" && len(result.findings) == 0 {
			return code // of -help
		}
		fmt.Fprintln(p.Stdout, result.line())
		return int(result.level())
	}
	return c
}

// A level is the exit code of a monitoring plugin.
type level int

// The levels.
const (
	levelOK level = iota
	levelWarning
	levelCritical
	levelUnknown
)

// String returns the name of the level.
func (l level) String() string { return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[l] }

// A checkResult is the output of check.
type checkResult struct {
	findings []finding
	summary  string // printed in any case
	perf     []string
}

type finding struct {
	level
	text string
}

func (r *checkResult) add(l level, format string, args ...any) {
	r.findings = append(r.findings, finding{l, fmt.Sprintf(format, args...)})
}

// addFigure adds performance data: a value, and its limits as "warn;crit". Each limit may be empty.
func (r *checkResult) addFigure(name string, value any, limits string) {
	r.perf = append(r.perf, fmt.Sprintf("%s=%v;%s;0", name, value, limits))
}

// level returns the worst level of the findings. CRITICAL is worse than UNKNOWN.
func (r *checkResult) level() (worst level) {
	order := map[level]int{levelOK: 0, levelWarning: 1, levelUnknown: 2, levelCritical: 3}
	for _, f := range r.findings {
		if order[f.level] > order[worst] {
			worst = f.level
		}
	}
	return worst
}

// line returns the result as one line, the worst finding first.
func (r *checkResult) line() string {
	var parts []string
	for _, l := range []level{levelCritical, levelUnknown, levelWarning} {
		for _, f := range r.findings {
			if f.level == l {
				parts = append(parts, f.text)
			}
		}
	}
	if r.summary != "" {
		parts = append(parts, r.summary)
	}
	text := strings.ReplaceAll(console.Escape(strings.Join(parts, "; ")), "|", "/") // a bar begins the figures
	line := "SPOOLGORE " + r.level().String() + " - " + text
	if len(r.perf) > 0 {
		line += " | " + strings.Join(r.perf, " ")
	}
	return line
}

// A checker checks one spool.
type checker struct {
	*call
	opts   *checkOptions
	result *checkResult
}

func (c *checker) check() error {
	if err := c.noOperands(); err != nil {
		return err
	}
	o, r := c.opts, c.result
	if o.warn > o.crit || o.failedWarn < 0 || o.failedCrit < 0 {
		return usageErr("-warn has to be less than -crit, and neither less than 0")
	}
	if o.onlyDaemon {
		return c.checkAlive()
	}
	counts := qshape.New(c.now)
	err := c.view.Each([]spooldir.Place{spooldir.Spool, spooldir.Hold}, func(e *mailq.Entry) error {
		counts.Add(e)
		return nil
	})
	if err != nil {
		return err
	}
	if !c.isSpool() {
		r.add(levelUnknown, "%s is no spool: no daemon has ever run on it", c.dir.Path())
		return nil
	}
	c.reportStatus()
	c.checkFiles(counts)
	c.checkQueue(counts)
	d := c.daemon()
	c.checkDaemon(d, counts.Queue.Messages)
	r.addFigure("held", counts.States[mailq.Held].Messages, ";")
	if err := c.checkFailed(); err != nil {
		return err
	}
	if d.known {
		r.summary = strings.Join(slices.Concat([]string{r.summary}, d.state.Notices(), d.state.Slow()), "; ")
		r.addFigure("relays_resting", resting(d.state), ";")
		r.addFigure("sent_per_minute", fmt.Sprintf("%.1f", d.state.PerMinute), ";")
	}
	c.checkSpace()
	return nil
}

// checkFiles checks for damaged status files that were set aside, and for files with temporary names.
func (c *checker) checkFiles(counts *qshape.Counts) {
	if aside := c.view.SetAside(); len(aside) > 0 {
		c.result.add(levelWarning, "the status file was damaged and set aside: see %s, release the messages in hold/ "+
			"or delete them, then remove that file", aside[len(aside)-1])
	}
	if n := counts.States[mailq.Temporary].Messages; n > 0 {
		c.result.add(levelWarning,
			"%s with a temporary name, read an hour after the last change (list -state temporary)",
			console.Count(n, "file"))
	}
}

// checkFailed checks how many messages were given up in the last 24 hours, and whether reports are among them.
func (c *checker) checkFailed() error {
	o, r := c.opts, c.result
	failed, err := c.view.CountFailed(c.now.Add(-24 * time.Hour))
	if err != nil {
		return err
	}
	switch {
	case o.failedCrit > 0 && failed.Recent >= o.failedCrit:
		r.add(levelCritical, "%s given up in 24 hours", console.Count(failed.Recent, "message"))
	case o.failedWarn > 0 && failed.Recent >= o.failedWarn:
		r.add(levelWarning, "%s given up in 24 hours", console.Count(failed.Recent, "message"))
	}
	if failed.Reports > 0 {
		r.add(levelWarning, "%s to senders could not be delivered in 24 hours, see failed/%s (-reportfrom "+
			"helps if the relay refuses the null sender)",
			console.Count(failed.Reports, "report"), failed.Report)
	}
	if failed.All > maxFailed || failed.Bytes > maxFailedBytes {
		r.add(levelWarning, "failed/ has %s, %s (see -keepfailed of the daemon)",
			console.Count(failed.All, "message"), console.Size(failed.Bytes))
	}
	r.addFigure("failed", failed.All, ";")
	r.addFigure("failed_24h", failed.Recent, fmt.Sprintf("%s;%s", limit(o.failedWarn), limit(o.failedCrit)))
	return nil
}

// Limits of failed/ for a WARNING.
const (
	maxFailed      = 1000
	maxFailedBytes = 1 << 30
)

// A space is how much of a file system is free.
type space struct {
	bytes, files       uint64 // free
	allBytes, allFiles uint64 // zero: not known, or no limit
}

// Limits of free space for WARNING and CRITICAL: a share of the file system, but never more than so many bytes.
const (
	warnShare, critShare = 0.05, 0.01
	warnBytes, critBytes = 1 << 30, 100 << 20
)

// checkSpace checks the free space and the free inodes of the spool.
func (c *checker) checkSpace() {
	s, err := spaceOf(c.dir.Path())
	if err != nil {
		return // not on this system
	}
	c.result.addSpace(s)
}

func (r *checkResult) addSpace(s space) {
	if s.allBytes > 0 {
		share := float64(s.bytes) / float64(s.allBytes)
		switch text := console.Size(int64(s.bytes)); {
		case share < critShare && s.bytes < critBytes:
			r.add(levelCritical, "the disk of the spool is full: %s free", text)
		case share < warnShare && s.bytes < warnBytes:
			r.add(levelWarning, "the disk of the spool is nearly full: %s free", text)
		}
		r.addFigure("free", fmt.Sprintf("%dB", s.bytes), ";")
	}
	if s.allFiles > 0 {
		share := float64(s.files) / float64(s.allFiles)
		switch {
		case share < critShare:
			r.add(levelCritical, "the file system of the spool has no inodes left: %d free", s.files)
		case share < warnShare:
			r.add(levelWarning, "the file system of the spool has few inodes left: %d free", s.files)
		}
		r.addFigure("free_inodes", s.files, ";")
	}
}

// free returns n, or zero for a negative n: on FreeBSD root may use more than all of a file system.
func free[N uint64 | int64](n N) uint64 { return uint64(max(0, n)) }

// limit returns a limit for performance data.
func limit(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// checkQueue checks the age of the oldest waiting message.
func (c *checker) checkQueue(counts *qshape.Counts) {
	o, r := c.opts, c.result
	oldest := time.Duration(0)
	r.summary = console.Count(counts.Queue.Messages, "message") + " waiting"
	if counts.Queue.Messages > 0 {
		oldest = ago(c.now, counts.Queue.Oldest)
		r.summary += ", the oldest " + console.Span(oldest)
	}
	if oldest >= o.warn {
		l := levelWarning
		if oldest >= o.crit {
			l = levelCritical
		}
		text := fmt.Sprintf("%s waits for %s", counts.Oldest, console.Span(oldest))
		if e, err := c.view.Find(spooldir.Spool, counts.Oldest); err == nil && e.Reason != "" {
			text += ": " + console.Cut(e.Reason, 150)
		}
		r.add(l, "%s", text)
	}
	r.addFigure("oldest", fmt.Sprintf("%ds", int(oldest.Seconds())),
		fmt.Sprintf("%d;%d", int(o.warn.Seconds()), int(o.crit.Seconds())))
	r.addFigure("waiting", counts.Queue.Messages, ";")
}

// checkDaemon checks the daemon and its relays.
func (c *checker) checkDaemon(d daemonInfo, waiting int) {
	o, r := c.opts, c.result
	switch {
	case d.err != nil:
		r.add(levelUnknown, "cannot tell whether a daemon runs: %v", d.err)
		return
	case !d.runs && !o.noDaemon && waiting > 0:
		r.add(levelCritical, "no daemon runs, and mail waits")
	case !d.runs && !o.noDaemon:
		r.add(levelWarning, "no daemon runs")
	}
	if !d.known {
		return
	}
	r.addSilence(d, c.now)
	if d.state.Paused {
		r.add(levelWarning, "the daemon is paused")
	}
	for _, relay := range d.state.Relays {
		down := ago(c.now, relay.Since)
		if relay.Trouble == "" || down < o.warn {
			continue
		}
		l := levelWarning
		if down >= o.crit && !anyWell(d.state, relay.Senders) {
			l = levelCritical
		}
		r.add(l, "relay %s has been at rest for %s: %s", relay.Name, console.Span(down),
			console.Cut(relay.Trouble, 150))
	}
}

// checkAlive checks that the daemon runs and is not silent.
func (c *checker) checkAlive() error {
	if c.opts.noDaemon {
		return usageErr("-onlydaemon and -nodaemon do not go together")
	}
	d, r := c.daemon(), c.result
	switch {
	case d.err != nil:
		r.add(levelUnknown, "cannot tell whether a daemon runs: %v", d.err)
	case !d.runs:
		r.add(levelCritical, "no daemon runs")
	default:
		r.summary = "the daemon runs"
		r.addSilence(d, c.now)
	}
	return nil
}

// addSilence adds a finding if the daemon has been silent.
func (r *checkResult) addSilence(d daemonInfo, now time.Time) {
	if d.known && d.state.Silent(now) {
		r.add(levelCritical, "the daemon (process %d) has been silent for %s", d.state.PID,
			console.Span(ago(now, d.state.Written)))
	}
}

// anyWell reports whether there is a relay without trouble for the same senders.
func anyWell(s daemonstate.State, senders string) bool {
	for _, r := range s.Relays {
		if r.Senders == senders && r.Trouble == "" {
			return true
		}
	}
	return false
}

// resting counts the relays in trouble.
func resting(s daemonstate.State) (n int) {
	for _, r := range s.Relays {
		if r.Trouble != "" {
			n++
		}
	}
	return n
}
