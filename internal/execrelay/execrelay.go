// Package execrelay delivers messages with a program in place of an SMTP server: the relay "exec:/path". The program
// gets the content of the message on standard input and the envelope as one line of JSON on descriptor 3. It may print
// an outcome for each recipient. docs/relays.md describes the interface for authors of such programs.
package execrelay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/shell"
	"github.com/unbit/spoolgore/internal/textline"
)

const (
	usualLimit = 5 * time.Minute // time limit of a run, unless the settings have one
	maxOutput  = 1 << 20         // octets of standard output that are read; more is discarded
	maxText    = 512             // octets of a text of the program that are kept
	maxLines   = 20              // lines of standard error that are logged for a run
)

// Relay is a program as a relay. Deliver may be called by several goroutines.
type Relay struct {
	NoQuotas bool // a 5yz reply about a quota or the account is final; set before the first Deliver

	path  string
	limit time.Duration
	log   *slog.Logger
}

// prefix begins the address of a relay that is a program.
const prefix = "exec:"

// Is reports whether the address of a relay names a program.
func Is(addr string) bool { return strings.HasPrefix(addr, prefix) }

// New returns the relay for an address, "exec:/path". Timeout is the time limit of a run; zero: five minutes. Lines of
// standard error go to log. An error says that the path cannot be a relay. Whether the program exists is found out when
// a message is delivered.
func New(addr string, timeout time.Duration, log *slog.Logger) (*Relay, error) {
	path := strings.TrimPrefix(addr, prefix)
	switch {
	case runtime.GOOS == "windows":
		return nil, fmt.Errorf("relay %q: programs are no relays on Windows", addr)
	case !filepath.IsAbs(path):
		return nil, fmt.Errorf("relay %q: the path is not absolute", addr)
	case strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		return nil, fmt.Errorf("relay %q: the path has a blank; arguments are not possible", addr)
	}
	if timeout <= 0 {
		timeout = usualLimit
	}
	return &Relay{path: path, limit: timeout, log: log}, nil
}

// Name returns the name of the relay, for logs.
func (r *Relay) Name() string { return prefix + r.path }

// Envelope is the line on descriptor 3. Notify and ORcpt are in step with To, or empty (RFC 3461).
type Envelope struct {
	Name   string   `json:"name"` // of the message file in the spool
	From   string   `json:"from"` // reverse-path; empty: the null sender
	To     []string `json:"to"`
	Size   int64    `json:"size"` // octets of the content
	Ret    string   `json:"ret,omitempty"`
	EnvID  string   `json:"envid,omitempty"`
	Notify []string `json:"notify,omitempty"`
	ORcpt  []string `json:"orcpt,omitempty"`
}

// Deliver runs the program once and returns the outcome for each recipient. The end of ctx kills the program and the
// processes that it has started.
func (r *Relay) Deliver(ctx context.Context, e Envelope, content io.Reader) []attempt.Outcome {
	limited, cancel := context.WithTimeoutCause(ctx, r.limit, fmt.Errorf("no end within %s", r.limit))
	defer cancel()
	source := &source{r: content}
	out, err := r.run(limited, e, source)
	outcomes := make([]attempt.Outcome, len(e.To))
	if source.err != nil { // for any outcome of the program, the message was cut off
		return r.all(outcomes, attempt.Outcome{Fault: attempt.Message, Op: attempt.OpContent, Err: source.err})
	}
	if err != nil && !reports(err) || err != nil && len(parse(out)) == 0 {
		failure := attempt.Outcome{Fault: attempt.Relay, Op: attempt.OpExec, Err: explain(limited, err)}
		failure.Withdrawn = ctx.Err() != nil
		failure.Uncertain = source.ended && killed(err)
		return r.all(outcomes, failure)
	}
	lines := parse(out)
	for i, to := range e.To {
		outcomes[i] = r.outcome(lines, to, out, err != nil)
		if outcomes[i].Err == nil && !source.ended {
			outcomes[i] = attempt.Outcome{Relay: r.Name(), Fault: attempt.Relay, Op: attempt.OpExec, Err: errNotRead}
		}
	}
	return outcomes
}

// errNoOutcome is the cause if a program fails, and reports outcomes for other recipients only.
var errNoOutcome = errors.New("the program gave no outcome for the recipient")

// errNotRead is the cause if a program reports an acceptance of a message that it has not read.
var errNotRead = errors.New("the program has not read the message to the end")

// all sets all outcomes to o.
func (r *Relay) all(outcomes []attempt.Outcome, o attempt.Outcome) []attempt.Outcome {
	o.Relay = r.Name()
	for i := range outcomes {
		outcomes[i] = o
	}
	return outcomes
}

// run starts the program and waits for its end. It returns standard output.
func (r *Relay) run(ctx context.Context, e Envelope, content io.Reader) ([]byte, error) {
	line, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdout, stderr := &shell.Head{Max: maxOutput}, &shell.Head{Max: maxOutput}
	cmd := exec.CommandContext(ctx, r.path)
	shell.Prepare(cmd)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = content, stdout, stderr, []*os.File{read}
	err = shell.Start(cmd)
	_ = read.Close()
	if err != nil {
		_ = write.Close()
		return nil, err
	}
	go func() { // a program that does not read descriptor 3 must not hold up the message
		_, _ = write.Write(append(line, '\n'))
		_ = write.Close()
	}()
	err = shell.Wait(cmd)
	_ = write.SetWriteDeadline(time.Unix(1, 0)) // ends the goroutine if a grandchild keeps the pipe open
	r.logLines(e.Name, stderr.String())
	if isIgnored(err) {
		err = nil
	}
	return []byte(stdout.String()), err
}

// isIgnored reports whether err says only that a process of the program goes on with its output. The exit code decides
// then.
func isIgnored(err error) bool {
	var exit *exec.ExitError
	return err != nil && !errors.As(err, &exit) && errors.Is(err, exec.ErrWaitDelay)
}

// logLines logs what the program has written to standard error.
func (r *Relay) logLines(file, text string) {
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 0; lines.Scan() && n < maxLines; n++ {
		r.log.Warn("exec: relay says", "relay", r.Name(), "file", file, "output", clean(lines.Text()))
	}
}

// source is the content of a message, and the error that ended it.
type source struct {
	r     io.Reader
	ended bool
	err   error // nil: none but the end
}

// Read reads the content.
func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err == io.EOF {
		s.ended = true
	} else if err != nil {
		s.err = err
	}
	return n, err
}

// A line is a line of standard output: the outcome for one recipient or, with an empty To, for all others.
type line struct {
	To    string `json:"to"`
	Reply string `json:"reply"` // "550 5.1.1 no such user"; without a code, the exit code decides
}

// parse returns the lines of output that are outcomes. Other output is ignored.
func parse(output []byte) (lines []line) {
	for text := range bytes.Lines(output) {
		text = bytes.TrimSpace(text)
		var l line
		if bytes.HasPrefix(text, []byte("{")) && json.Unmarshal(text, &l) == nil && l.Reply != "" {
			lines = append(lines, l)
		}
	}
	return lines
}

// permanentCodes are the exit codes of sysexits(3) with which the lines of the output count: data error, no such user,
// no such host, no permission.
var permanentCodes = []int{65, 67, 68, 77}

// reports reports whether err is an exit code with which the lines of the output count.
func reports(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && slices.Contains(permanentCodes, exit.ExitCode())
}

// killed reports whether err is the end by a signal.
func killed(err error) bool {
	var exit *exec.ExitError
	return errors.As(err, &exit) && !exit.Exited()
}

// explain returns the error of a run in words.
func explain(ctx context.Context, err error) error {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case !errors.As(err, &exit):
		return err
	case !exit.Exited():
		return fmt.Errorf("ended by a signal: %s", exit.ProcessState)
	case exit.ExitCode() == 126 || exit.ExitCode() == 127:
		return fmt.Errorf("exit code %d: a command of the program cannot be run", exit.ExitCode())
	case reports(err):
		return fmt.Errorf("exit code %d without an outcome on standard output", exit.ExitCode())
	}
	return fmt.Errorf("exit code %d", exit.ExitCode())
}

// outcome returns the outcome for a recipient. Failed says that the exit code is not zero.
func (r *Relay) outcome(lines []line, to string, output []byte, failed bool) attempt.Outcome {
	o := attempt.Outcome{Relay: r.Name()}
	i := slices.IndexFunc(lines, func(l line) bool { return strings.EqualFold(l.To, to) })
	if i < 0 {
		i = slices.IndexFunc(lines, func(l line) bool { return l.To == "" })
	}
	switch {
	case i < 0 && failed: // the others have an outcome
		o.Fault, o.Op, o.Err = attempt.Recipient, attempt.OpExec, errNoOutcome
		return o
	case i < 0:
		if len(lines) == 0 {
			o.Reply = clean(firstLine(output))
		}
		return o
	}
	reply := parseReply(clean(lines[i].Reply))
	if reply.Code == 0 {
		reply.Code = 250
		if failed {
			reply.Code = 550
		}
	}
	o.Reply, o.Code, o.Enhanced = reply.String(), reply.Code, reply.Enhanced
	if reply.Code/100 == 2 {
		return o
	}
	c := attempt.Failure{Op: attempt.OpRcpt, Reply: reply, LoggedIn: true, NoQuotas: r.NoQuotas}.Classify()
	o.Fault, o.Permanent, o.Undecided, o.Throttled = c.Fault, c.Permanent, c.Undecided, c.Throttled
	o.Final, o.Cause, o.Op, o.Err = c.Final, c.Cause, attempt.OpExec, errors.New(o.Reply)
	return o
}

// parseReply splits "550 5.1.1 text". Without a code the Code is zero.
func parseReply(text string) attempt.Reply {
	code, rest, _ := strings.Cut(text, " ")
	n, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || n < 200 || n > 599 || n/100 == 3 {
		return attempt.Reply{Text: text}
	}
	reply := attempt.Reply{Code: n, Text: rest}
	if status, more, _ := strings.Cut(rest, " "); isStatus(status) && status[0] == code[0] {
		reply.Enhanced, reply.Text = status, more
	}
	return reply
}

// isStatus reports whether text is an enhanced status code (RFC 3463).
func isStatus(text string) bool {
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return false
	}
	return !slices.ContainsFunc(parts, func(part string) bool {
		n, err := strconv.Atoi(part)
		return err != nil || n < 0 || len(part) > 3
	})
}

// firstLine returns the first line of output that is not empty.
func firstLine(output []byte) string {
	for text := range bytes.Lines(output) {
		if text = bytes.TrimSpace(text); len(text) > 0 {
			return string(text)
		}
	}
	return ""
}

// clean returns text as one line of at most maxText octets.
func clean(text string) string { return textline.Of(text, maxText) }
