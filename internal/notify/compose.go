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
	// errBroken is in the error of a report that can never be made.
	errBroken = errors.New("no report can be made")
	// errGone means that there is no message to report on: the message was moved, removed or replaced, or is in
	// failed/, which gets a report of its own.
	errGone = errors.New("the message is gone")
)

// open opens the message of j and returns the notice to report.
func (d *Notifier) open(j *job) (*msgfile.File, *record.Notice, error) {
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
func (d *Notifier) why(name string) (*record.Notice, error) {
	text, err := d.dir.Failed().Why(name)
	if err != nil {
		return nil, d.orGone(err)
	}
	failure, err := record.DecodeFailure(text)
	if err != nil {
		return nil, fmt.Errorf("%w: failed/%s.json: %w", errBroken, name, err)
	}
	notice := failure.Notice()
	notice.To = record.ReportTo(&failure.Message, d.Postmaster)
	notice.Kept = "failed/" + name
	return &notice, nil
}

// orGone returns errGone for a missing or changed message, else err. If the whole spool is missing, err stays.
func (d *Notifier) orGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) && d.dir.Lock().Here() == nil || errors.Is(err, spooldir.ErrChanged) {
		return errGone
	}
	return err
}

// Put puts a report on f into the spool of dir and returns its name. The name is empty if the sender wants no report or
// is the null sender, as of a report.
func Put(dir *spooldir.Dir, host string, f *msgfile.File, notice record.Notice, now time.Time) (string, error) {
	write, err := compose(host, f, notice, now)
	if err != nil || write == nil {
		return "", err
	}
	return dir.Put(write)
}

// compose returns the function that writes a report on f; nil if the sender wants no report.
func compose(host string, f *msgfile.File, notice record.Notice, now time.Time) (func(io.Writer) error, error) {
	r := Report(host, f.Envelope, notice, func() io.Reader { return f.Content(notice.MessageID) }, now)
	if r == nil {
		return nil, nil
	}
	line, err := message.Envelope{To: []string{r.To}}.AppendLine(nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	return func(w io.Writer) error {
		if _, err := w.Write(line); err != nil {
			return err
		}
		return dsn.Compose(w, r)
	}, nil
}

// Report returns the report of a notice, for dsn.Compose; nil if the sender wants no report. env has the requests of
// the sender (nil: none), and original returns a reader of the message as it is sent.
func Report(
	host string, env *message.Envelope, notice record.Notice, original func() io.Reader, now time.Time,
) *dsn.Report {
	r := notice.Report
	applyDSN(&r, env)
	if r.To == "" || len(r.Recipients) == 0 {
		return nil
	}
	r.Host, r.Date, r.Others = host, now, max(0, notice.Total-len(r.Recipients))
	r.Original = original
	return &r
}

// applyDSN reduces the report to the recipients and parameters of the sender's DSN request (RFC 3461). A message
// without an envelope line has no request.
func applyDSN(r *dsn.Report, env *message.Envelope) {
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

// at returns list[i]; empty if list is shorter.
func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// wanted reports whether the sender wants a report of an action. notify is the value of NOTIFY (RFC 3461, section 4.1);
// empty: the sender wants reports of failures and delays.
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
