package cli

import (
	"bytes"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/daemonstate"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/qshape"
	"github.com/unbit/spoolgore/internal/spooldir"
)

const checkHelp = `usage: spoolgore check [flags] DIR

Looks whether a spool is well, as a plugin for monitoring does: one line, with figures behind a bar, and the exit
code 0 (OK), 1 (WARNING), 2 (CRITICAL) or 3 (UNKNOWN: it cannot be told).

  -warn AGE          WARNING if a message waits so long, or a relay has been at rest so long (15m)
  -crit AGE          CRITICAL if a message waits so long, or all relays for some mail have been at rest so long (2h)
  -failedwarn N      WARNING if so many messages were given up in the last 24 hours; 0: never (10)
  -failedcrit N      CRITICAL likewise (100)
  -nodaemon          no daemon is expected to run, as where cron runs it with -once
  -statusfile PATH   the status file, if the daemon has another one (DIR/.spoolgore.js; $SPOOLGORE_JSON)
  -config FILE       the daemon's configuration: its dir is DIR, which is not named then, and its json the status file

It is CRITICAL too that mail waits and no daemon runs, or one that has been silent for two minutes, and a WARNING
that the daemon is paused. Held messages and those for later are no reason for concern. Run it as the user of the
daemon, or root.
`

// level is the state of a service, as monitoring plugins tell it by their exit code.
type level int

// The levels.
const (
	levelOK level = iota
	levelWarning
	levelCritical
	levelUnknown
)

func (l level) String() string { return [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}[l] }

// checkOptions are the flags of check.
type checkOptions struct {
	warn, crit             time.Duration
	failedWarn, failedCrit int
	noDaemon               bool
}

func runCheck(p *Program, args []string) int {
	o := checkOptions{warn: 15 * time.Minute, crit: 2 * time.Hour}
	var v verdict
	var trouble bytes.Buffer // who calls a plugin reads standard output only
	plugin := *p
	plugin.Stderr = &trouble
	code := onSpool(&plugin, "check", checkHelp, args, func(fs *flag.FlagSet) {
		fs.Var((*age)(&o.warn), "warn", "")
		fs.Var((*age)(&o.crit), "crit", "")
		fs.IntVar(&o.failedWarn, "failedwarn", 10, "")
		fs.IntVar(&o.failedCrit, "failedcrit", 100, "")
		fs.BoolVar(&o.noDaemon, "nodaemon", false, "")
	}, func(c *call) error { return c.check(&o, &v) })
	if code != ExitOK {
		v = verdict{}
	}
	for line := range strings.Lines(trouble.String()) {
		v.find(levelUnknown, "%s", strings.TrimPrefix(strings.TrimSpace(line), "spoolgore: "))
	}
	if v.summary == "" && len(v.findings) == 0 {
		return code // of help
	}
	fmt.Fprintln(p.Stdout, v.line())
	return int(v.level())
}

// A verdict collects what was found, and figures.
type verdict struct {
	findings []finding
	summary  string // how it is, in any case
	perf     []string
}

type finding struct {
	level
	text string
}

func (v *verdict) find(l level, format string, args ...any) {
	v.findings = append(v.findings, finding{l, fmt.Sprintf(format, args...)})
}

// figure adds one to the performance data: its limits, and what it cannot fall under, may be empty.
func (v *verdict) figure(name string, value any, limits string) {
	v.perf = append(v.perf, fmt.Sprintf("%s=%v;%s;0", name, value, limits))
}

// level is the worst that was found: what is certain to be bad is worse than what is not known.
func (v *verdict) level() (worst level) {
	order := map[level]int{levelOK: 0, levelWarning: 1, levelUnknown: 2, levelCritical: 3}
	for _, f := range v.findings {
		if order[f.level] > order[worst] {
			worst = f.level
		}
	}
	return worst
}

// line is all of it in one, the worst first.
func (v *verdict) line() string {
	var parts []string
	for _, l := range []level{levelCritical, levelUnknown, levelWarning} {
		for _, f := range v.findings {
			if f.level == l {
				parts = append(parts, f.text)
			}
		}
	}
	if v.summary != "" {
		parts = append(parts, v.summary)
	}
	text := strings.ReplaceAll(console.Escape(strings.Join(parts, "; ")), "|", "/") // what follows a bar are figures
	line := "SPOOLGORE " + v.level().String() + " - " + text
	if len(v.perf) > 0 {
		line += " | " + strings.Join(v.perf, " ")
	}
	return line
}

func (c *call) check(o *checkOptions, v *verdict) error {
	if err := c.nothingElse(); err != nil {
		return err
	}
	if o.warn > o.crit || o.failedWarn < 0 || o.failedCrit < 0 {
		return usageErr("-warn has to be less than -crit, and no number less than 0")
	}
	sum := qshape.New(c.now)
	err := c.view.Each([]spooldir.Place{spooldir.Spool, spooldir.Hold}, func(e *mailq.Entry) error {
		sum.Add(e)
		return nil
	})
	if err != nil {
		return err
	}
	failed, recent, err := c.view.GivenUpSince(c.now.Add(-24 * time.Hour))
	if err != nil {
		return err
	}
	c.reviewStatus()
	c.checkQueue(o, v, sum)
	d := c.daemon()
	c.checkDaemon(o, v, d, sum.Queue.Messages)
	switch {
	case o.failedCrit > 0 && recent >= o.failedCrit:
		v.find(levelCritical, "%s given up in 24 hours", console.Count(recent, "message"))
	case o.failedWarn > 0 && recent >= o.failedWarn:
		v.find(levelWarning, "%s given up in 24 hours", console.Count(recent, "message"))
	}
	v.figure("held", sum.States[mailq.Held].Messages, ";")
	v.figure("failed", failed, ";")
	v.figure("failed_24h", recent, fmt.Sprintf("%s;%s", limit(o.failedWarn), limit(o.failedCrit)))
	if d.tells {
		v.figure("relays_resting", resting(d.signs), ";")
		v.figure("sent_per_minute", fmt.Sprintf("%.1f", d.signs.PerMinute), ";")
	}
	return nil
}

// limit is a limit in performance data.
func limit(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// checkQueue judges the age of what waits.
func (c *call) checkQueue(o *checkOptions, v *verdict, t *qshape.Tally) {
	oldest := time.Duration(0)
	v.summary = console.Count(t.Queue.Messages, "message") + " waiting"
	if t.Queue.Messages > 0 {
		oldest = ago(c.now, t.Queue.Oldest)
		v.summary += ", the oldest " + console.Span(oldest)
	}
	if oldest >= o.warn {
		l := levelWarning
		if oldest >= o.crit {
			l = levelCritical
		}
		text := fmt.Sprintf("%s waits for %s", t.Oldest, console.Span(oldest))
		if e, err := c.view.Find(spooldir.Spool, t.Oldest); err == nil && e.Reason != "" {
			text += ": " + console.Cut(e.Reason, 150)
		}
		v.find(l, "%s", text)
	}
	v.figure("oldest", fmt.Sprintf("%ds", int(oldest.Seconds())), fmt.Sprintf("%d;%d", int(o.warn.Seconds()), int(o.crit.Seconds())))
	v.figure("waiting", t.Queue.Messages, ";")
}

// checkDaemon judges the daemon and, by what it says of them, the relays.
func (c *call) checkDaemon(o *checkOptions, v *verdict, d daemonState, waiting int) {
	switch {
	case d.err != nil:
		v.find(levelUnknown, "cannot tell whether a daemon runs: %v", d.err)
		return
	case !d.runs && !o.noDaemon && waiting > 0:
		v.find(levelCritical, "no daemon runs, and mail waits")
	case !d.runs && !o.noDaemon:
		v.summary += ", no daemon runs"
	}
	if !d.tells {
		return
	}
	if silent := ago(c.now, d.signs.Written); silent >= hangs {
		v.find(levelCritical, "the daemon (process %d) has been silent for %s", d.signs.PID, console.Span(silent))
	}
	if d.signs.Paused {
		v.find(levelWarning, "the daemon is paused")
	}
	for _, r := range d.signs.Relays {
		down := ago(c.now, r.Since)
		if r.Trouble == "" || down < o.warn {
			continue
		}
		l := levelWarning
		if down >= o.crit && !anyWell(d.signs, r.Senders) {
			l = levelCritical
		}
		v.find(l, "relay %s has been at rest for %s: %s", r.Name, console.Span(down), console.Cut(r.Trouble, 150))
	}
}

// anyWell reports whether there is a relay without trouble for the same senders.
func anyWell(s daemonstate.Signs, senders string) bool {
	for _, r := range s.Relays {
		if r.Senders == senders && r.Trouble == "" {
			return true
		}
	}
	return false
}

// resting counts the relays in trouble.
func resting(s daemonstate.Signs) (n int) {
	for _, r := range s.Relays {
		if r.Trouble != "" {
			n++
		}
	}
	return n
}
