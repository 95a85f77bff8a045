// Package spoolgore sends the mail messages found as files in a directory through an SMTP smarthost, and keeps
// trying until each is delivered or given up. Delivery is at least once: nothing is lost, a crash may send twice.
//
//	err := spoolgore.New("spool", spoolgore.Options{SMTPAddr: "mail.example.com:25"}).Run(ctx)
//
// A message is a regular file in the spool directory whose name does not start with a dot. It is handed over by
// [Spool.Put], by [Spool.Send] (which makes a *Spool an enmime Sender), or by any program that writes the file.
// Recipients and sender are those of its header, or of the envelope line that Put writes in front.
//
// A message leaves the disk only when a relay has accepted it for every recipient. One that is given up is moved,
// untouched, to failed/ beside a JSON file that says why, and its sender is told by a delivery report (RFC 3464); moving it
// back into the spool tries the failed recipients again.
package spoolgore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/unbit/spoolgore/internal/crew"
	"github.com/unbit/spoolgore/internal/journal"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/notify"
	"github.com/unbit/spoolgore/internal/pacedfile"
	"github.com/unbit/spoolgore/internal/quota"
	"github.com/unbit/spoolgore/internal/retry"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Options says how a spool is run. SMTPAddr (or Transport) is required; the zero value of every other field is a
// good default. A negative number is an error that Run reports.
type Options struct {
	// SMTPAddr is the relay; several, in order of preference, are separated by commas: the next one serves while those
	// before it cannot be used. One is "host:port", "smtp://host", "smtps://host" (TLS from the first byte, RFC 8314,
	// as on port 465), "lmtp://host:port", "lmtp+unix:///path" (RFC 2033), "mx:example.com" for the hosts that take a
	// domain's mail, or "srv:example.com" for its submission servers (RFC 6186). Ignored when Transport is set.
	SMTPAddr string

	// Routes send the mail of some senders through relays of their own; all other mail goes to SMTPAddr.
	Routes []Route

	// SMTPUser and SMTPPassword log in, with the strongest mechanism that the relay offers; SMTPMD5User and
	// SMTPMD5Password with CRAM-MD5 (RFC 2195) only; no user: no AUTH. When both are set the first pair is used. Credentials are only sent over a
	// verified TLS connection or to a loopback address, and mail is never sent without them once they are set.
	SMTPUser, SMTPPassword       string
	SMTPMD5User, SMTPMD5Password string

	SMTPTimeout time.Duration // upper bound of each step of a transaction; zero: the limits of RFC 5321, section 4.5.3.2
	LocalName   string        // name given with EHLO; empty: the host's name, or its address where the name has no domain
	TLSConfig   *tls.Config   // nil: the system's certificate authorities, TLS 1.2 at least; a loopback relay is not verified
	SMTP        SMTP          // what else there is to say of TLS, AUTH and extensions, for SMTPAddr

	// Dial connects to a relay; nil: a net.Dialer with a limit of 30 seconds.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	Transport Transport // takes the messages on; nil: SMTP to SMTPAddr

	Freq        time.Duration // time between two scans of the directory; zero: 10 seconds
	Attempts    int           // failed attempts after which a recipient is given up; zero: 100
	MaxAge      time.Duration // age at which a message is given up, however few the attempts; zero: 5 days
	Concurrency int           // connections to a relay at the same time, at most (calls of Deliver, with a Transport); zero: 20
	Rate        string        // limits for the recipients of all mail, such as "14/s,600/m,50000/d", over restarts too; empty: none
	Grace       time.Duration // how long Run lets transactions in flight go on when its context ends; zero: 30 seconds

	// Backoff is the time from the n-th failed attempt of a recipient (n counts from 1) to the next one; it may be
	// called by Run's goroutine only. Nil: n minutes, 30 at most, give or take a tenth.
	Backoff func(attempts int) time.Duration

	NoReports bool          // senders are not told (RFC 3464) of what was given up, or takes long
	WarnAfter time.Duration // age at which the sender of a message that is still tried is told so, once; zero: never

	StatusFile string       // path of the JSON status file; empty: .spoolgore.js in the spool directory
	Logger     *slog.Logger // nil: slog.Default()

	// OnEvent is told what becomes of every recipient, of an acceptance when it cannot be forgotten any more. It is called
	// by Run's goroutine, one event at a time: it must not block, and must not call methods of the Spool other than Put and Send.
	OnEvent func(Event)
}

// Errors that tell a caller what to do; test for them with errors.Is.
var (
	ErrRunning      = errors.New("spool is being run already") // by this process or another one
	ErrNoRecipients = errors.New("no recipients")              // Put and Send: an envelope goes to somebody
)

// Envelope says who a message is from and to, whatever its header says (RFC 5321, section 2.3.1), and what its
// sender wishes. Only From and To are usually set.
type Envelope struct {
	From   string   // reverse-path, without angle brackets; empty: the null sender, who is never told of a failure
	To     []string // recipients, at least one
	Ret    string   // how much a delivery report returns: "FULL" or "HDRS" (RFC 3461, section 4.3); empty: no wish
	EnvID  string   // envelope identifier for delivery reports (RFC 3461, section 4.4)
	Notify []string // Notify[i] says when the sender hears of To[i]: "NEVER", or a list of SUCCESS,FAILURE,DELAY; may be shorter than To
	ORcpt  []string // ORcpt[i] is the original recipient of To[i], as "rfc822;a@example.com"; may be shorter than To

	NotBefore time.Time // not sent before; zero: at once
	Expire    time.Time // given up if not delivered by then; zero: Options.MaxAge alone decides
	Priority  int       // of the messages that are due, higher ones go first
}

// Spool is one spool directory. Its methods may be called before, during and after Run, from any goroutine.
type Spool struct {
	dir     *spooldir.Dir
	dirErr  error
	opts    Options
	noWatch bool // tests in a synctest bubble: no goroutine may wait for the kernel

	mu      sync.Mutex
	current *session // the Run or Drain that is going on; nil: none
	paused  bool
	flush   bool // asked for while nothing ran
	changes int  // of what a Run begins with, made while nothing ran
}

// session is one Run as other goroutines see it: what they want done is a function, carried out by the loop.
type session struct {
	commands chan func(*runner)
	done     chan struct{}
	put      chan struct{} // has room for one: there are names in arrived

	mu      sync.Mutex
	arrived []string // files that Put has made and the loop has not heard of
}

// arrive tells the loop of a new file, and never waits for it.
func (s *session) arrive(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived = append(s.arrived, name)
	select {
	case s.put <- struct{}{}:
	default:
	}
}

// arriving reports whether there are new files, and leaves them to arrivals.
func (s *session) arriving() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.arrived) > 0
}

// arrivals returns the new files since it was last called.
func (s *session) arrivals() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := s.arrived
	s.arrived = nil
	return names
}

// New returns a spool on the directory dir. It touches and starts nothing; Run reports what is wrong with dir and opts.
func New(dir string, opts Options) *Spool {
	d, err := spooldir.New(dir)
	return &Spool{dir: d, dirErr: err, opts: opts}
}

// Run sends what is and what comes into the spool until ctx ends. It then starts nothing new, waits up to
// Options.Grace for transactions in flight, writes the status file and returns nil. An error means that the spool
// could not be run: a bad option, no directory, an unreadable status file, or [ErrRunning].
func (s *Spool) Run(ctx context.Context) error { return s.run(ctx, false) }

// Drain is Run until nothing is due now and nothing is in flight: every message was tried at least once, those to
// be tried again later stay in the spool. It waits for a file that has just been written, not for one that is still
// being written. When no relay could be used it returns that trouble, and the messages stay as they are.
func (s *Spool) Drain(ctx context.Context) error { return s.run(ctx, true) }

func (s *Spool) run(ctx context.Context, drain bool) error {
	if s.dirErr != nil {
		return fmt.Errorf("spoolgore: %w", s.dirErr)
	}
	r, err := s.open(drain)
	if err != nil {
		return fmt.Errorf("spoolgore: %w", err)
	}
	defer r.close()
	defer func() {
		s.mu.Lock()
		s.current = nil
		s.mu.Unlock()
		close(r.session.done)
	}()
	if err := r.loop(ctx); err != nil {
		return fmt.Errorf("spoolgore: %w", err)
	}
	return nil
}

// open makes what runs the spool. That may take a while, and is done again if what it was made of has changed meanwhile.
func (s *Spool) open(drain bool) (*runner, error) {
	for {
		s.mu.Lock()
		opts, err := s.opts.complete(s.dir)
		changes := s.changes
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
		r, err := newRunner(s.dir, opts, drain)
		if err != nil {
			return nil, err
		}
		r.watching = !s.noWatch
		r.watch()
		if s.attach(r, changes) {
			return r, nil
		}
		r.close()
	}
}

// attach makes r the one that is told what to do, from what was asked for before it was there on; false: it was made of
// what has changed since there were so many changes.
func (s *Spool) attach(r *runner, changes int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes != changes {
		return false
	}
	r.session = &session{commands: make(chan func(*runner)), done: make(chan struct{}), put: make(chan struct{}, 1)}
	s.current = r.session
	if !r.drain {
		r.paused, s.paused = s.paused, false
	}
	if s.flush {
		s.flush = false
		r.flush()
	}
	return true
}

// complete returns the options with every default filled in, or says what is wrong with them.
func (o Options) complete(dir *spooldir.Dir) (Options, error) {
	if o.SMTPAddr == "" && o.Transport == nil {
		return o, errors.New("no relay: Options.SMTPAddr is empty")
	}
	for name, n := range map[string]int64{
		"Freq": int64(o.Freq), "Attempts": int64(o.Attempts), "MaxAge": int64(o.MaxAge), "Concurrency": int64(o.Concurrency),
		"Grace": int64(o.Grace), "SMTPTimeout": int64(o.SMTPTimeout), "WarnAfter": int64(o.WarnAfter),
	} {
		if n < 0 {
			return o, fmt.Errorf("option %s is negative", name)
		}
	}
	orDefault(&o.Freq, 10*time.Second)
	orDefault(&o.Attempts, retry.Attempts)
	orDefault(&o.MaxAge, retry.MaxAge)
	orDefault(&o.Concurrency, 20)
	orDefault(&o.Grace, 30*time.Second)
	orDefault(&o.Logger, slog.Default())
	orDefault(&o.StatusFile, dir.File(".spoolgore.js"))
	if o.Dial == nil {
		o.Dial = (&net.Dialer{Timeout: 30 * time.Second}).DialContext
	}
	if o.Backoff == nil {
		o.Backoff = func(attempts int) time.Duration { return jitter(retry.After(attempts)) }
	}
	if o.OnEvent == nil {
		o.OnEvent = func(Event) {}
	}
	var err error
	o.StatusFile, err = filepath.Abs(o.StatusFile)
	return o, err
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Put leaves the message read from r in the spool for the recipients of env and returns the name of its file. When
// it returns without an error the message survives a power cut. It needs no Run: a runner, in this process or in
// another one, picks the file up. The header is sent as it is, without Bcc and Return-Path; an error of r or the end
// of ctx leaves nothing behind.
func (s *Spool) Put(ctx context.Context, env Envelope, r io.Reader) (name string, err error) {
	if s.dirErr != nil {
		return "", fmt.Errorf("spoolgore: put: %w", s.dirErr)
	}
	if len(env.To) == 0 {
		return "", fmt.Errorf("spoolgore: put: %w", ErrNoRecipients)
	}
	line, err := message.Envelope(env).AppendLine(nil)
	if err != nil {
		return "", fmt.Errorf("spoolgore: put: %w", err)
	}
	name, err = s.dir.Put(func(w io.Writer) error {
		if _, err := w.Write(line); err != nil {
			return err
		}
		_, err := io.Copy(w, contextReader{ctx, r})
		return err
	})
	if err != nil {
		return "", fmt.Errorf("spoolgore: put: %w", err)
	}
	s.mu.Lock()
	current := s.current
	s.mu.Unlock()
	if current != nil {
		current.arrive(name) // noticed at once also where the system does not tell
	}
	return name, nil
}

// contextReader reads until its context ends.
type contextReader struct {
	ctx context.Context
	io.Reader
}

// Read reads unless the context has ended.
func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}

// Send is Put for a message in memory. It makes a *Spool an enmime Sender, so that an enmime MailBuilder can Send(spool).
func (s *Spool) Send(reversePath string, recipients []string, msg []byte) error {
	_, err := s.Put(context.Background(), Envelope{From: reversePath, To: recipients}, bytes.NewReader(msg))
	return err
}

// Flush scans the directory and tries everything that waits now, whatever its next attempt, relays at rest included.
// It does not wait for the outcome. While nothing runs it is remembered for the next Run.
func (s *Spool) Flush() { s.do((*runner).flush, func() { s.flush = true }) }

// Pause brings the status file up to date and then stops scanning, sending and writing that file, so that it can be
// edited, until Resume. Transactions in flight go on; what comes of them is remembered. Before Run, Run starts paused.
func (s *Spool) Pause() { s.do((*runner).pause, func() { s.paused = true }) }

// Resume ends a pause. The status file is not read (that is Reload's part) and will be written over.
func (s *Spool) Resume() { s.do((*runner).resume, func() { s.paused = false }) }

// Reload reads the status file, edited during a pause, and believes it: states, attempts, next attempts, and which
// recipients there are. Only an acceptance seen since the pause is not forgotten. It does not end the pause. Without one the
// file may be older than what is known, which then counts. A file that cannot be read or parsed is an error and changes
// nothing.
func (s *Spool) Reload() error {
	var err error
	check := func() {
		var opts Options
		if opts, err = s.opts.complete(s.dir); err == nil {
			_, err = loadStatusOn(s.dir.FS(), opts.StatusFile) // the next Run reads it anyway; say now what it would say then
		}
		if err == nil {
			s.changes++
		}
	}
	s.do(func(r *runner) { err = r.reload() }, check)
	if err != nil {
		return fmt.Errorf("spoolgore: reload: %w", err)
	}
	return nil
}

// Reconfigure goes on with other options, for the mail that waits as well; while nothing runs they are those of the next Run.
// An error says what is wrong with them, or what cannot change during a Run, which is StatusFile; then nothing has changed.
//
// A relay whose settings are the same keeps its connections, its health, and what it has shown to bear (see SMTP.Version).
// Another one ends what is under way, and then its connections; what it has not been offered yet goes to the new ones. What
// is spent of Rate stays spent. Dial counts for new relays, and of LocalName reports and Message-IDs speak from the next Run on.
func (s *Spool) Reconfigure(opts Options) error {
	if s.dirErr != nil {
		return fmt.Errorf("spoolgore: reconfigure: %w", s.dirErr)
	}
	full, err := opts.complete(s.dir)
	if err != nil {
		return fmt.Errorf("spoolgore: reconfigure: %w", err)
	}
	s.do(func(r *runner) {
		if err = r.reconfigure(full); err == nil {
			s.mu.Lock()
			s.opts = opts
			s.mu.Unlock()
		}
	}, func() {
		if _, err = newRoutes(full, nil, nil); err == nil {
			_, err = quota.Parse(full.Rate)
		}
		if err == nil {
			s.opts = opts
			s.changes++
		}
	})
	if err != nil {
		return fmt.Errorf("spoolgore: reconfigure: %w", err)
	}
	return nil
}

// Status is a snapshot of what the spool knows: message file, by absolute path, and the state of its recipients. While
// nothing runs in this process it is what the status file says. It belongs to the caller.
func (s *Spool) Status() Status {
	var snap []record
	var cause func(sender string) string
	var read Status
	s.do(func(r *runner) { snap, cause = r.q.snapshot(), r.cause() }, func() {
		if opts, err := s.opts.complete(s.dir); err == nil {
			read, _ = loadStatusOn(s.dir.FS(), opts.StatusFile)
		}
	})
	if read != nil {
		return read
	}
	return statusOf(s.dir, snap, cause, time.Now())
}

// Health is how well a spool is run: what Status does not say, as it is about no message.
type Health struct {
	Running  bool   // by Run or Drain in this process; if not, all else is zero
	Paused   bool   // see Pause
	Away     bool   // the directory is not there, or another one is in its place: nothing is sent until that is over
	Trouble  string // why the directory, or files in it, cannot be worked on; empty: they can
	Files    int    // in the spool that are messages, or are still to be read
	InFlight int    // messages that are being offered to a relay

	RateWait  time.Time // until when Options.Rate holds back what could be sent; zero: it does not
	RateWaits uint64    // how often it has done so

	Relays []RelayHealth // in order of preference; those for all mail are first, those of Options.Routes follow in their order
}

// RelayHealth is how one relay is. A relay that several routes go through is in Health once for each.
type RelayHealth struct {
	Name        string
	Senders     string    // Route.Sender of the route it belongs to; empty: all other mail
	Connections int       // open now; none with a Transport
	Limit       int       // of connections, as learnt so far
	Slowed      time.Time // until when it gets nothing, as it has said that mail comes too fast; zero: it does not say so
	Trouble     string    // why it rests; empty: it is well
	Since       time.Time // when the trouble began
	RestsUntil  time.Time // when it is tried again, at the earliest
}

// Health is a snapshot of how the spool is run. It costs little, and returns when the loop of Run comes to it: a loop that
// hangs, as on a disk that does not answer, makes it wait.
func (s *Spool) Health() (h Health) {
	s.do(func(r *runner) { h = r.health(time.Now()) }, func() {})
	return h
}

func (r *runner) health(now time.Time) Health {
	h := Health{Running: true, Paused: r.paused, Away: r.away(), Files: len(r.q.entries), InFlight: r.busy, RateWaits: r.rateWaits}
	if r.rateWait.After(now) {
		h.RateWait = r.rateWait
	}
	if err := cmp.Or(r.sick, r.q.ailment()); err != nil {
		h.Trouble = err.Error()
	}
	last := len(r.routes) - 1
	for _, m := range r.routes[last].relays {
		h.Relays = append(h.Relays, relayHealth(m, "", r.opts))
	}
	for i, rt := range r.routes[:last] {
		for _, m := range rt.relays {
			h.Relays = append(h.Relays, relayHealth(m, r.opts.Routes[i].Sender, r.opts))
		}
	}
	return h
}

func relayHealth(m *member, senders string, opts Options) RelayHealth {
	h := RelayHealth{Name: m.Item.name, Senders: senders, Limit: opts.Concurrency, Since: m.Since(), RestsUntil: m.Until()}
	if smtp := m.Item.smtp; smtp != nil {
		h.Limit = smtp.Connections()
		h.Connections, h.Slowed = smtp.Open()
	}
	if err := m.Err(); err != nil {
		h.Trouble = err.Error()
	}
	return h
}

// do has the loop carry out command and waits until it has; while nothing runs it calls idle instead, under s.mu.
func (s *Spool) do(command func(*runner), idle func()) {
	for {
		s.mu.Lock()
		current := s.current
		if current == nil {
			idle()
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		finished := make(chan struct{})
		select {
		case current.commands <- func(r *runner) { command(r); close(finished) }:
			<-finished
			return
		case <-current.done:
		}
	}
}

// runner is one Run: it owns the queue, the relays and every goroutine. Only its loop touches them.
type runner struct {
	dir       *spooldir.Dir
	opts      Options
	drain     bool
	unlock    func()
	watching  bool // the system may be able to tell of new files
	watcher   *spooldir.Watcher
	noticed   <-chan spooldir.Event // nil: it does not tell, scanning must do
	session   *session
	begins    crew.Crew // opens and offers what the loop hands out
	results   chan result
	room      chan struct{} // has room for one: a relay can make use of more
	grown     func()        // says so
	status    *pacedfile.File
	ours      atomic.Pointer[spooldir.ID] // of the status file, as it was last written; nil: it was not
	mark      int64                       // position in the journal before which all is in what was last written as status
	spent     *pacedfile.File             // of the quota
	removals  *pacedfile.File             // not a file, but the directory, which is synced some time after files were removed
	q         *queue
	desk      *notify.Desk // tells senders
	routes    []*route
	retired   []retired // relays that may have connections yet
	quota     *quota.Quota
	busy      int
	nextScan  time.Time
	unsure    bool         // the system may have told of less than there was
	sick      error        // why the last scan failed; said once
	ails      bool         // files cannot be worked on for the system's sake; said once
	past      []record     // of spools that another directory has taken the place of
	edits     atomic.Int32 // how often the status file was believed since the start: who is done may not be, since
	settled   time.Time    // when an outcome was last seen
	rateWait  time.Time    // until when the rate holds mail back, as was last seen
	rateWaits uint64       // how often it did
	paused    bool
	pausedAt  time.Time
}

// newRunner locks the spool and reads the status file.
func newRunner(dir *spooldir.Dir, opts Options, drain bool) (*runner, error) {
	room := make(chan struct{}, 1)
	grown := func() {
		select {
		case room <- struct{}{}:
		default:
		}
	}
	routes, err := newRoutes(opts, nil, grown)
	if err != nil {
		return nil, err
	}
	limits, err := quota.Parse(opts.Rate)
	if err != nil {
		return nil, err
	}
	host := msgfile.Host(opts.LocalName)
	r := &runner{dir: dir, opts: opts, drain: drain, routes: routes, results: make(chan result, 100), room: room, grown: grown}
	r.status = pacedfile.New(opts.StatusFile, r.replaceStatus)
	r.spent = pacedfile.New(dir.File(".spoolgore.rate"), r.replace)
	r.removals = pacedfile.New(dir.Path(), func(string, fs.FileMode, func(io.Writer) error) error { return dir.Sync() })
	if err := r.open(host); err != nil {
		return nil, err
	}
	r.desk = newDesk(dir, host)
	r.owe()
	if r.quota, err = loadQuota(dir, limits); err != nil {
		r.unlock()
		return nil, err
	}
	return r, nil
}

// open locks the directory that is there now, and makes the queue of what is in it.
func (r *runner) open(host string) error {
	if err := r.dir.Prepare(); err != nil {
		return err
	}
	unlock, err := r.dir.Lock()
	if err != nil {
		if errors.As(err, new(*spooldir.LockedError)) {
			return fmt.Errorf("%w: %w", ErrRunning, err)
		}
		return err
	}
	old := r.q
	r.q = newQueue(r.dir, r.opts, host, len(r.routes), routeOf(r.opts))
	err = r.q.load(r.opts.StatusFile)
	if err == nil {
		if err := r.dir.Recover(); err != nil { // what it leaves is not sent, so it holds up nothing
			r.opts.Logger.Error("what a crash left is not all put right, the next start tries again", "dir", r.dir.Path(), "err", err)
		}
		err = r.replay()
	}
	if err != nil {
		r.q = old
		unlock()
		return err
	}
	r.unlock = unlock
	r.q.changed = true // the status file is written once even if there is nothing to tell
	return nil
}

// adopt goes on with the directory that has taken the place of the spool, as after a restart. What is known of the
// messages of the old one is kept, in case it comes back.
func (r *runner) adopt() error {
	if r.busy > 0 || r.q.journal.Busy() || r.status.Busy() {
		return errors.New("what becomes of messages of the old one is still to be seen, or being written")
	}
	old, release := r.q, r.unlock
	if err := r.open(old.host); err != nil {
		return err
	}
	release()
	old.journal.Close()
	for _, p := range old.pledges {
		r.report(p.events) // what it was to be written down in is away
	}
	r.past = append(r.past, old.snapshot()...)
	for _, known := range r.past {
		r.q.learn(known)
	}
	r.owe()
	if r.watcher != nil {
		r.watcher.Close()
		r.watcher, r.noticed = nil, nil
	}
	r.opts.Logger.Warn("spool directory is another one now, going on with that", "dir", r.dir.Path())
	return nil
}

// replay takes what the journal says over what the status file says, which then has to say as much: it may be edited, and
// believed, before it is next written.
func (r *runner) replay() error {
	file, found, err := journal.OpenOn(r.dir.FS(), r.dir.File(journalName), r.q.replay)
	if err != nil {
		return err
	}
	file.Guard(r.dir.Here)
	r.q.journal, r.pausedAt = file, time.Now()
	if found.Bad > 0 || found.Torn > 0 {
		r.opts.Logger.Warn("journal is not whole, what is not was ignored", "file", journalName, "lines", found.Bad, "tail", found.Torn)
	}
	if found.Records > 0 {
		r.opts.Logger.Info("journal replayed", "file", journalName, "records", found.Records)
		if err := r.writeNow(); err != nil {
			r.pausedAt = time.Time{} // whatever was seen counts more than that file
			r.wrote(r.opts.StatusFile)(err, false)
		}
	}
	return nil
}

// watch asks the system to tell of new files; where it cannot, the scan finds them.
func (r *runner) watch() {
	if !r.watching || r.noticed != nil {
		return
	}
	w, err := r.dir.Watch()
	if err != nil {
		r.watching = !errors.Is(err, spooldir.ErrNoWatch)
		r.opts.Logger.Debug("no notice of new files, scanning only", "dir", r.dir.Path(), "err", err)
		return
	}
	r.watcher, r.noticed = w, w.Events()
}

func (r *runner) close() {
	for _, rt := range r.routes {
		rt.close()
	}
	for _, x := range r.retired {
		<-x.ended
	}
	if r.watcher != nil {
		r.watcher.Close()
	}
	r.desk.Close()
	r.q.journal.Close()
	r.unlock()
}

// loop runs until ctx ends or, to drain, until there is nothing left to do.
func (r *runner) loop(ctx context.Context) error {
	work, cut := context.WithCancel(context.WithoutCancel(ctx)) // deliveries outlive ctx by at most Grace
	defer cut()
	timer := time.NewTimer(0)
	defer timer.Stop()
	stop, grace := ctx.Done(), (<-chan time.Time)(nil)
	r.opts.Logger.Info("started", "dir", r.dir.Path())
	for stopping, drained := false, false; !drained && (!stopping || r.busy > 0); {
		select {
		case <-stop: // start nothing new, let what runs end
			stopping, stop, grace = true, nil, time.After(r.opts.Grace)
		case <-grace:
			cut()
			r.cut(context.Canceled)
		case command := <-r.session.commands:
			command(r)
		case <-r.session.put:
		case <-r.room:
		case res := <-r.results:
			r.settle(res)
			for range len(r.results) { // those that are there already
				r.settle(<-r.results)
			}
		case ev, ok := <-r.noticed:
			r.notice(ev, ok)
		case w := <-r.status.Done():
			r.saved(w.OK())
			r.wrote(r.opts.StatusFile)(r.status.Finish(w, time.Now()))
		case w := <-r.q.journal.Done():
			r.wrote(journalName)(r.q.journal.Finish(w, time.Now()))
		case w := <-r.spent.Done():
			r.wrote(".spoolgore.rate")(r.spent.Finish(w, time.Now()))
		case w := <-r.removals.Done():
			r.wrote(r.dir.Path())(r.removals.Finish(w, time.Now()))
		case o := <-r.desk.Done():
			r.told(o)
		case <-timer.C:
		}
		wait := r.record(time.Now())
		if !stopping && !r.paused {
			wait = r.turn(work)
			drained = r.drained()
		}
		timer.Stop()
		if wait >= 0 {
			timer.Reset(wait)
		}
	}
	return r.finish(ctx)
}

// finish writes down what is to outlast the run, when nothing is in flight any more. For Drain the error is what is in the way.
func (r *runner) finish(ctx context.Context) error {
	if r.desk.Busy() {
		r.told(<-r.desk.Done()) // or he would be told again
	}
	r.report(nil)
	lost := r.end()
	r.wrote(r.dir.Path())(r.removals.Sync(false, nil), false)
	if r.opts.Rate != "" {
		r.wrote(".spoolgore.rate")(r.spent.Sync(false, r.spending(time.Now())), false)
	}
	r.opts.Logger.Info("stopped", "dir", r.dir.Path(), "waiting", len(r.q.entries))
	if r.drain && ctx.Err() == nil {
		return errors.Join(r.sick, r.q.ailment(), r.trouble(), lost)
	}
	return nil
}

// drained reports whether there is nothing to do for Drain any more.
func (r *runner) drained() bool {
	return r.drain && r.busy == 0 && !r.telling(time.Now()) && !r.session.arriving() &&
		(r.q.idle(time.Now()) || r.stuck() || r.away()) &&
		(len(r.q.pledges) == 0 || r.q.journal.Failing())
}

// record goes on with the messages whose outcome is safe by now, has the journal written, and returns how long it is to the
// next time; negative: there is nothing to write.
func (r *runner) record(now time.Time) time.Duration {
	r.report(r.q.recorded(now))
	wait := r.q.journal.Wait(now)
	if wait == 0 {
		r.q.journal.Start()
		wait = -1
	}
	return wait
}

// saved is told whether the status file was written: then the journal need not say any more what that says.
func (r *runner) saved(ok bool) {
	if ok {
		r.q.journal.Cut(r.mark)
	}
}

// end writes down what must not be forgotten. An error says that it could be written nowhere.
func (r *runner) end() error {
	sync := func() {
		r.wrote(journalName)(r.q.journal.Sync(time.Now()))
		r.report(r.q.recorded(time.Now()))
	}
	if len(r.q.pledges) > 0 {
		sync() // before the status file, so that it tells what comes of them
	}
	r.keep()
	sync() // what only one of them can take is safe now, and the journal is empty
	if len(r.q.pledges) == 0 {
		return nil
	}
	err := fmt.Errorf("%d messages: some of their recipients have accepted, which cannot be written down", len(r.q.pledges))
	r.opts.Logger.Error("what was delivered cannot be written down, it may be sent again", "dir", r.dir.Path(), "err", err)
	for _, p := range r.q.pledges {
		r.report(p.events)
	}
	return err
}

// keep writes the status file at the end. If it is being edited, it is only touched if there is something that must not
// be forgotten, and then what was edited is kept.
func (r *runner) keep() {
	if r.paused {
		if r.settled.Before(r.pausedAt) {
			return
		}
		edited, err := loadStatusOn(r.dir.FS(), r.opts.StatusFile)
		if err != nil {
			r.opts.Logger.Error("status file cannot be read, only the journal has what was delivered during the pause", "err", err)
			return
		}
		r.report(r.q.reload(edited, r.pausedAt, time.Now()))
	}
	r.wrote(r.opts.StatusFile)(r.writeNow(), false)
}

// readBudget is how many files are read between two looks at what can be sent, and at what the workers have done.
const readBudget = 10

// turn does what is due now and returns how long there is nothing more to do.
func (r *runner) turn(work context.Context) time.Duration {
	now := time.Now()
	r.q.notice(r.session.arrivals(), now)
	if !now.Before(r.nextScan) {
		r.scan(now)
	}
	if r.away() {
		return r.nextScan.Sub(now) // no file of the queue is there
	}
	r.q.room = r.vacancy()
	events, more := r.q.advance(now, readBudget)
	r.report(events)
	r.tellAilment()
	started := r.start(work, now)
	r.q.shut()
	r.q.room = r.vacancy()
	r.tell(now)
	r.write(now)
	if more {
		return 0
	}
	wait := r.opts.Freq
	for _, w := range []time.Duration{
		r.nextScan.Sub(now), r.q.wait(now), r.status.Wait(now), r.spent.Wait(now), r.removals.Wait(now), r.desk.Wait(now),
		r.q.journal.Wait(now), started,
	} {
		if w >= 0 {
			wait = min(wait, w)
		}
	}
	return wait
}

// write brings the files up to date that show what has changed, where it is time to.
func (r *runner) write(now time.Time) {
	if r.q.changed {
		r.q.changed = false
		r.status.Touch(now)
	}
	if r.status.Wait(now) == 0 {
		records, cause := r.q.snapshot(), r.cause()
		r.mark = r.q.journal.End()
		write := func(w io.Writer) error { return writeStatus(w, r.dir, records, cause, now) }
		if !r.status.Start(len(records) == 0, write) {
			r.saved(true)
		}
	}
	if r.spent.Wait(now) == 0 {
		r.spent.Start(false, r.spending(now))
	}
	if r.q.removed {
		r.q.removed = false
		r.removals.Touch(now)
	}
	if r.removals.Wait(now) == 0 {
		r.removals.Start(false, nil)
	}
}

// spending returns what writes down how much of the quota is spent now.
func (r *runner) spending(now time.Time) func(io.Writer) error {
	text, err := r.quota.State(now)
	return func(w io.Writer) error {
		if err != nil {
			return err
		}
		_, err := w.Write(text)
		return err
	}
}

func (r *runner) notice(ev spooldir.Event, ok bool) {
	switch now := time.Now(); {
	case !ok: // the directory is gone, say; the next scan asks again
		r.opts.Logger.Warn("no more notice of new files, scanning only", "dir", r.dir.Path(), "err", r.watcher.Err())
		r.watcher.Close()
		r.watcher, r.noticed = nil, nil
	case ev.Rescan:
		r.q.seen, r.nextScan, r.unsure = spooldir.Snapshot{}, now, true
	default:
		r.q.notice(ev.Names, now)
		r.q.miss(ev.Gone, now)
	}
}

func (r *runner) scan(now time.Time) {
	r.nextScan = now.Add(r.opts.Freq)
	r.watch()
	err := r.q.scan(now, r.noticed == nil || r.unsure)
	if errors.Is(err, spooldir.ErrReplaced) {
		if err = r.adopt(); err == nil {
			r.watch()
			err = r.q.scan(now, true)
		} else {
			err = fmt.Errorf("%w: %w", spooldir.ErrReplaced, err)
		}
	}
	r.unsure = false
	if was := r.sick; (err != nil) != (was != nil) {
		if err != nil {
			r.opts.Logger.Error("spool cannot be read, will be tried again", "dir", r.dir.Path(), "err", err)
		} else {
			r.opts.Logger.Info("spool can be read again", "dir", r.dir.Path())
		}
	}
	r.sick = err
}

// away reports whether the spool was not there when it was last looked for.
func (r *runner) away() bool {
	return errors.Is(r.sick, spooldir.ErrReplaced) || errors.Is(r.sick, fs.ErrNotExist)
}

// replace writes a file of the runner's own, but never into a directory that has taken the place of the spool, which may
// have one that knows more.
func (r *runner) replace(path string, perm fs.FileMode, write func(io.Writer) error) error {
	if filepath.Dir(path) == r.dir.Path() {
		if err := r.dir.Here(); err != nil {
			return err
		}
	}
	return spooldir.WriteFileOn(r.dir.FS(), path, perm, write)
}

// replaceStatus is replace for the status file, which it can tell then from one that somebody has edited.
func (r *runner) replaceStatus(path string, perm fs.FileMode, write func(io.Writer) error) error {
	err := r.replace(path, perm, write)
	if info, statErr := r.dir.FS().Stat(path); err == nil && statErr == nil {
		id := spooldir.IDOf(info)
		r.ours.Store(&id)
	}
	return err
}

// tellAilment tells once that there is trouble with files that is no file's fault, and when it is over.
func (r *runner) tellAilment() {
	switch err := r.q.ailment(); {
	case err != nil && !r.ails:
		r.opts.Logger.Error("files cannot be worked on, will be tried again", "dir", r.dir.Path(), "err", err)
	case err == nil && r.ails:
		r.opts.Logger.Info("files can be worked on again", "dir", r.dir.Path())
	}
	r.ails = len(r.q.ailing) > 0
}

// wrote returns what tells of a failure to write file, and of its end.
func (r *runner) wrote(file string) func(err error, recovered bool) {
	return func(err error, recovered bool) {
		if err != nil {
			r.opts.Logger.Error("file cannot be written, will be tried again", "file", file, "err", err)
		}
		if recovered {
			r.opts.Logger.Info("file can be written again", "file", file)
		}
	}
}

func (r *runner) writeNow() error {
	records, cause, now := r.q.snapshot(), r.cause(), time.Now()
	r.q.changed, r.mark = false, r.q.journal.End()
	err := r.status.Sync(len(records) == 0, func(w io.Writer) error { return writeStatus(w, r.dir, records, cause, now) })
	r.saved(err == nil)
	return err
}

func (r *runner) flush() {
	now := time.Now()
	r.q.flush(now)
	for _, rt := range r.routes {
		rt.relays.Wake(now)
	}
	r.nextScan = now
}

func (r *runner) pause() {
	if r.paused {
		return
	}
	r.paused, r.pausedAt = true, time.Now()
	err := r.writeNow()
	if err != nil {
		r.pausedAt = time.Time{} // the file knows nothing for certain: whatever was seen counts more
	}
	r.wrote(r.opts.StatusFile)(err, false)
	r.wrote(journalName)(r.q.journal.Sync(time.Now())) // it is empty before the file is edited
	r.opts.Logger.Info("paused", "dir", r.dir.Path())
}

func (r *runner) resume() {
	if r.paused {
		r.paused = false
		r.opts.Logger.Info("resumed", "dir", r.dir.Path())
	}
}

func (r *runner) reload() error {
	info, err := r.dir.FS().Stat(r.opts.StatusFile)
	if err != nil {
		return err // that it is missing says nothing
	}
	if ours := r.ours.Load(); !r.paused && ours != nil && ours.Equal(spooldir.IDOf(info)) {
		return nil // nobody has edited it, and there may be a million messages in it
	}
	edited, err := loadStatusOn(r.dir.FS(), r.opts.StatusFile)
	if err != nil {
		return err
	}
	since := r.pausedAt
	if !r.paused {
		since = time.Time{} // nobody could edit it in peace, and it may be old: all that was seen counts
	}
	r.edits.Add(1)
	r.report(r.q.reload(edited, since, time.Now()))
	r.opts.Logger.Info("status reloaded", "file", r.opts.StatusFile)
	return nil
}
