package notify

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/dsn"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

var (
	// errBroken is in the error of a report that cannot be made, however often it is tried.
	errBroken = errors.New("no report can be made of this")
	// errGone says that there is nothing to report on: the message was moved or removed by hand, or is another one now, or
	// has gone to failed/, from where it is reported on.
	errGone = errors.New("the message is gone")
)

// open opens the message of j and returns what is to be reported.
func (d *Desk) open(j *job) (*msgfile.File, *record.Notice, error) {
	if j.notice != nil {
		f, err := msgfile.Reopen(d.dir, j.name, j.id)
		return f, j.notice, d.orGone(err)
	}
	f, err := msgfile.OpenFailed(d.dir, j.name)
	if err != nil {
		return nil, nil, d.orGone(err)
	}
	notice, err := d.why(j.name)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, notice, nil
}

// why reads the why-file of a message in failed/.
func (d *Desk) why(name string) (*record.Notice, error) {
	text, err := d.dir.Failed().Why(name)
	if err != nil {
		return nil, d.orGone(err)
	}
	failure, err := record.DecodeFailure(text)
	if err != nil {
		return nil, fmt.Errorf("%w: failed/%s.json: %w", errBroken, name, err)
	}
	notice := failure.Notice()
	notice.Kept = "failed/" + name
	return &notice, nil
}

// orGone returns err, or errGone. While the whole spool is away nothing is known of any file.
func (d *Desk) orGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) && d.dir.Lock().Here() == nil || errors.Is(err, spooldir.ErrChanged) {
		return errGone
	}
	return err
}

// Put puts a report on f into the spool of dir and returns its name; empty: no one is to be told. The null sender, which
// reports have themselves, is never told.
func Put(dir *spooldir.Dir, host string, f *msgfile.File, notice record.Notice, now time.Time) (name string, err error) {
	write, err := compose(host, f, notice, now)
	if err != nil || write == nil {
		return "", err
	}
	return dir.Put(write)
}

// compose returns the function that writes a report on f; nil: no one is to be told.
func compose(host string, f *msgfile.File, notice record.Notice, now time.Time) (func(io.Writer) error, error) {
	r := notice.Report
	wishes(&r, f.Envelope)
	if r.To == "" || len(r.Recipients) == 0 {
		return nil, nil
	}
	r.Host, r.Date, r.Others = host, now, max(0, notice.Total-len(r.Recipients))
	r.Original = func() io.Reader { return f.Content(notice.MessageID) }
	line, err := message.Envelope{To: []string{r.To}}.AppendLine(nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	return func(w io.Writer) error {
		if _, err := w.Write(line); err != nil {
			return err
		}
		return dsn.Compose(w, &r)
	}, nil
}

// wishes has the report say what the sender asked for, and no more (RFC 3461). Without an envelope line he asked for nothing.
func wishes(r *dsn.Report, env *message.Envelope) {
	notify, orcpt := map[string]string{}, map[string]string{}
	if env != nil {
		r.EnvID, r.Full = env.EnvID, env.Ret == "FULL"
		for i, to := range env.To {
			if _, again := notify[to]; again {
				continue
			}
			notify[to], orcpt[to] = at(env.Notify, i), at(env.ORcpt, i)
		}
	}
	var told []dsn.Recipient
	for _, rcpt := range r.Recipients {
		if wanted(rcpt.Action, notify[rcpt.Address]) {
			rcpt.ORcpt = orcpt[rcpt.Address]
			told = append(told, rcpt)
		}
	}
	r.Recipients = told
}

// at is list[i], or empty.
func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// wanted reports whether a sender who gave the value notify of NOTIFY (RFC 3461, section 4.1; empty: none) is to hear of
// such an action. Without one he hears of failures and of delays.
func wanted(a dsn.Action, notify string) bool {
	word := map[dsn.Action]string{dsn.Failed: "FAILURE", dsn.Delayed: "DELAY", dsn.Relayed: "SUCCESS"}[a]
	if notify == "" {
		return a != dsn.Relayed
	}
	for w := range strings.SplitSeq(notify, ",") {
		if w == word {
			return true
		}
	}
	return false
}
