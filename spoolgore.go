// Package spoolgore sends the mail that programs leave as files in a directory, through an SMTP relay, and retries
// until each message is delivered or given up.
//
//	err := spoolgore.New("spool", spoolgore.Options{SMTPAddr: "mail.example.com:25"}).Run(ctx)
//
// # What a spool is
//
// A spool is a directory. A message is a regular file in the directory whose name does not start with a dot.
// [Spool.Put] makes such a file, and [Spool.Send] does so for a message in memory. Any other program writes a file in
// the subdirectory tmp/ and renames the file into the spool. Recipients and sender are those of the header, or of the
// envelope line that Put writes before the header. Files are the interface: deleting a file cancels the message,
// moving a file to hold/ holds the message, and moving a file back releases the message.
//
// # The life of a message
//
// A message is queued when its file was read, deferred while no relay has accepted the message, and sent when a relay
// accepted the message for a recipient. The file is removed when every recipient was accepted. If a recipient was
// given up, the file is moved unchanged to failed/, beside a JSON file with the reasons (a [Failure]), and the sender
// gets a report (RFC 3464). A file moved back into the spool is sent to the failed recipients again.
//
// Delivery is at least once. A second copy is possible only if the connection or the process died after the last
// octet was sent and before the reply was recorded.
//
// # Running and stopping
//
// [Spool.Run] owns every goroutine and returns when none is left. When its context ends, Run starts no new
// transaction, waits up to Options.Grace for running transactions, writes the status file and returns nil.
// [Spool.Drain] is Run until no message is due. All other methods may be called before, during and after Run, by any
// goroutine.
//
// # Errors
//
// Run returns an error only if the spool could not be run: a bad option, no directory, an unreadable status file, or
// [ErrRunning]. A later failure of a message or a relay is logged and retried. An unknown error is temporary.
//
// # Events
//
// Options.OnEvent gets an [Event] for every change of a recipient. An EventSent comes after the acceptance is on
// disk: that recipient never gets the message again, even after a crash. A crash may lose or repeat other events.
//
// # Transports
//
// A [Transport] takes messages in place of SMTP. [NewSMTP] returns the built-in transport, which an application can
// wrap to filter, copy or sign mail. A [TransportFunc] is a function as a transport.
//
// # Testing your program
//
// Package spooltest runs a spool in a test: in a temporary directory, with a Transport that records messages and
// returns scripted outcomes, in the virtual time of testing/synctest, with a relay on a pipe and a disk that fails.
// Without it, set Options.Watch to WatchOff in a synctest bubble, and Options.Transport to a TransportFunc.
//
// # Several spools
//
// A process may run any number of spools. Each spool has its own directory, and spools share no state. Two runs of one
// directory, in one process or in two, exclude each other.
package spoolgore

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/unbit/spoolgore/internal/addrmask"
	"github.com/unbit/spoolgore/internal/engine"
	"github.com/unbit/spoolgore/internal/fsys"
	"github.com/unbit/spoolgore/internal/guard"
	"github.com/unbit/spoolgore/internal/observers"
	"github.com/unbit/spoolgore/internal/queue"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/sentlog"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// Options are the settings of a spool. SMTPAddr (or Transport) is required; the zero value of every other field is a
// good default. A negative number is an error that Run reports.
type Options struct {
	// SMTPAddr is the relay, or several relays in order of preference, separated by commas: a relay is used while all
	// relays before it are unavailable. A relay is "host:port", "smtp://host", "smtps://host" (TLS from the first byte,
	// RFC 8314, as on port 465), "lmtp://host:port", "lmtp+unix:///path" (RFC 2033), "mx:example.com" for the hosts
	// that accept mail for a domain, "srv:example.com" for the submission servers of a domain (RFC 6186), or
	// "exec:/path" for a program, see docs/relays.md. Ignored when Transport is set.
	SMTPAddr string

	// Routes send the mail of some senders through relays of their own. All other mail goes to SMTPAddr.
	Routes []Route

	Rewrite Rewrite // other senders and recipients than those of the messages

	SMTPTimeout time.Duration // limit of each step of a transaction; zero: the limits of RFC 5321, section 4.5.3.2
	LocalName   string        // name in EHLO; empty: the name of the host, or its address if that is no domain
	// Nil: the certificate authorities of the system, TLS 1.2 or later; loopback is not verified
	TLSConfig *tls.Config
	SMTP      SMTP // further settings of TLS, login and extensions, for SMTPAddr

	// Dial connects to a relay, and looks up the host. Nil: the addresses of a host are tried in turn, IPv6 and IPv4
	// alternating, each for at most 30 seconds.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	Transport Transport // takes messages in place of the relays; nil: SMTP to SMTPAddr

	// Create makes a missing spool directory, with mode 0700, in Run, Drain and Put; the parent has to exist. A
	// directory that has been there is never made again, since it may be on a file system that is not mounted: the
	// Spool has used the directory, or StatusFile names a file elsewhere that exists. False: fs.ErrNotExist.
	Create bool
	// WaitLock has Run and Drain wait while another process runs the spool, as in a rolling restart, until their
	// context ends. False: ErrRunning.
	WaitLock bool
	Watch    Watch // how new files of other programs are noticed; of a Reconfigure the next Run knows

	// Time between two scans of the directory; zero: 10 seconds. On a local disk of Linux 30 times that, or 5 minutes.
	Freq        time.Duration
	Settle      time.Duration // a file written in place is read when unchanged for so long; zero: 2 seconds
	Attempts    int           // failed attempts after which a recipient is given up; zero: no limit, MaxAge decides
	MaxAge      time.Duration // age at which a message is given up, however few the attempts; zero: 5 days
	Concurrency int           // connections to a relay, or calls of Deliver, at once; zero: 20, up to 100 if faster
	Rate        Rate          // limits for the recipients of all mail; nil: none. See ParseRate
	MaxSize     int64         // limit for the octets of a message in Put; zero: none

	// MaxRecipients limits the recipients of a message. Put refuses a message with more. A file with more is given up,
	// and the sender gets a report. Zero: 10,000. The highest limit is 25,000.
	MaxRecipients int

	Grace time.Duration // how long transactions may go on when the context of Run ends; zero: 30 seconds

	// TemporaryNames are patterns (of path.Match) for names of unfinished files. A file with such a name is read after
	// an hour without a change. Nil: *~ *.bak *.orig *.save *.tmp *.part *.filepart *.swp *.crdownload #*#
	TemporaryNames []string

	// Backoff returns the time from the n-th failed attempt for a recipient, counted from 1, to the next attempt. Only
	// the goroutine of Run calls Backoff. Nil: n minutes, at most 30, varied by up to a tenth.
	Backoff func(attempts int) time.Duration

	Postmaster string // gets reports that cannot be delivered to their sender; empty: such reports stay in failed/
	NoReports  bool   // senders get no reports (RFC 3464) about failures and delays
	// PickupDots removes the dot that .NET adds to lines of pickup files that begin with a dot; see docs/spool.md.
	PickupDots bool
	WarnAfter  time.Duration // age at which the sender of a waiting message gets a report, once; zero: never

	// Trace is the number of outcomes, one for each recipient, to remember in .spoolgore.sent: between Trace and twice
	// as many are kept. They are for "spoolgore trace" and for Envelope.ID. Zero: none.
	Trace int
	// ShortAddresses shortens mail addresses in the log and in .spoolgore.sent to the first character and the domain.
	ShortAddresses bool

	StatusFile string       // path of the JSON status file; empty: .spoolgore.js in the spool directory
	Logger     *slog.Logger // nil: slog.Default()

	// FailDisk is for tests, see package spooltest: any goroutine calls it before a call on a file or directory of the
	// spool, which an error makes fail. Op is "open", "create", "read", "write", "sync", "stat", "mkdir", "rename",
	// "remove" or "chmod". The value given to New counts; nil: no failures.
	FailDisk func(op, path string) error

	// OnAttempt is called before each attempt to deliver a message, for tracing: it can start a span, and returns the
	// context of the attempt, and a function that gets the results, such as the end of the span. Each may be nil. Any
	// goroutine calls OnAttempt, which must not change t.
	OnAttempt func(ctx context.Context, t *Transaction) (within context.Context, end func([]Result))

	// OnEvent gets every event, one at a time, from the goroutine of Run. OnEvent must not block, and must not call
	// methods of the Spool other than Put and Send.
	OnEvent func(Event)
}

// ErrRunning says that this process or another one runs the spool already. Test with errors.Is.
var ErrRunning = errors.New("spool is being run already")

// Watch is how new files are noticed. [Spool.Put] tells a Run of the same Spool in any case.
type Watch int

// The values of Options.Watch.
const (
	WatchAuto Watch = iota // the system notifies where it can (inotify on Linux); scans find what it misses
	// Scans only, each Options.Freq. No goroutine waits for the kernel, so time moves in a testing/synctest bubble.
	WatchOff
)

// Spool is one spool directory. Its methods may be called before, during and after Run, by any goroutine.
type Spool struct {
	dir      *spooldir.Dir
	dirErr   error
	opts     Options
	sent     *sentlog.Names
	watchers observers.List[Event] // functions of Observe
	noSettle bool                  // tests: Options.Settle is zero

	mu      sync.Mutex
	current *running // the running Run or Drain; nil: none
	paused  bool     // the next Run starts paused
	flush   bool     // the next Run flushes
	changes int      // number of changes of options or status file between runs
}

// running is one Run as other goroutines see it.
type running struct {
	engine *engine.Engine
	ended  chan struct{} // closed when the loop has ended
}

// New returns a spool on the directory dir. New opens no file and starts no goroutine; Run reports a wrong dir or opts.
func New(dir string, opts Options) *Spool {
	if opts.FailDisk != nil {
		return newOn(dir, opts, fsys.Failing(fsys.System(), opts.FailDisk))
	}
	return newOn(dir, opts, nil)
}

// newOn is New on a file system; nil: the one of the system.
func newOn(dir string, opts Options, fs fsys.FS) *Spool {
	d, err := spooldir.NewOn(dir, fs)
	s := &Spool{dir: d, dirErr: err, opts: opts}
	if err == nil {
		s.sent = sentlog.NewNames(d.FS(), d.Path())
	}
	return s
}

// Run sends the messages in the spool, and all new messages, until ctx ends. Then Run starts no new transaction, waits
// up to Options.Grace for running transactions, writes the status file and returns nil. An error means that the spool
// could not be run: a bad option, no directory, an unreadable status file, or [ErrRunning].
func (s *Spool) Run(ctx context.Context) error { return runSpool(s, ctx, false) }

// Drain is Run until no message is due and no transaction is running: every message had an attempt, and deferred
// messages stay in the spool. Drain waits until a complete new file may be read, but not for a file that a program
// keeps writing, and for at most two seconds for Options.Rate: the rest is for a later run. If no relay could be used,
// Drain returns the reason, and the messages stay as they are.
func (s *Spool) Drain(ctx context.Context) error { return runSpool(s, ctx, true) }

func runSpool(s *Spool, ctx context.Context, drain bool) error {
	if s.dirErr != nil {
		return fmt.Errorf("spoolgore: %w", s.dirErr)
	}
	r, err := await(s, ctx, drain)
	if err != nil {
		return fmt.Errorf("spoolgore: %w", err)
	}
	if r == nil {
		return nil
	}
	defer r.engine.Close()
	defer func() {
		s.mu.Lock()
		s.current = nil
		s.mu.Unlock()
		close(r.ended)
	}()
	if err := r.engine.Run(ctx); errors.Is(err, engine.ErrLocked) {
		return fmt.Errorf("spoolgore: %w: %w", ErrRunning, err)
	} else if err != nil {
		return fmt.Errorf("spoolgore: %w", err)
	}
	return nil
}

// await is openEngine, and with Options.WaitLock waits for the lock. If ctx ends first there is no run: nil after Run,
// which was asked to end, the error after Drain, which has tried no message.
func await(s *Spool, ctx context.Context, drain bool) (*running, error) {
	for waited := false; ; waited = true {
		r, opts, err := openEngine(s, drain)
		if !opts.WaitLock || !errors.Is(err, ErrRunning) {
			return r, err
		}
		if !waited {
			opts.Logger.Info("waiting for the lock of the spool", "dir", s.dir.Path(), "err", err)
		}
		select {
		case <-time.After(lockPause):
		case <-ctx.Done():
			if !drain {
				err = nil
			}
			return nil, err
		}
	}
}

// lockPause is the time between two attempts to lock the spool.
const lockPause = 500 * time.Millisecond

// openEngine makes the engine, which may take a while, and makes the engine again if options or status file have
// changed meanwhile.
func openEngine(s *Spool, drain bool) (*running, Options, error) {
	for {
		s.mu.Lock()
		opts, changes := s.opts, s.changes
		s.mu.Unlock()
		eo, err := opts.engine(s.dir, &s.watchers)
		opts.Logger = eo.Logger
		if err == nil && opts.Create {
			err = spooldir.Create(s.dir, opts.StatusFile)
		}
		if err != nil {
			return nil, opts, err
		}
		if s.noSettle {
			eo.Settle = 0
		}
		e, err := engine.Open(s.dir, eo, drain, opts.Watch == WatchAuto)
		if errors.Is(err, engine.ErrLocked) {
			locked := new(spooldir.LockedError)
			errors.As(err, &locked)
			err = fmt.Errorf("%w: %w", ErrRunning, locked)
		}
		if err != nil {
			return nil, opts, err
		}
		if r := attach(s, e, drain, changes); r != nil {
			return r, opts, nil
		}
		e.Close()
	}
}

// attach makes e the current run and applies earlier requests. It returns nil if the number of changes is no longer
// changes.
func attach(s *Spool, e *engine.Engine, drain bool, changes int) *running {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changes != changes {
		return nil
	}
	s.current = &running{engine: e, ended: make(chan struct{})}
	if !drain && s.paused {
		s.paused = false
		e.Control().StartPaused()
	}
	if s.flush {
		s.flush = false
		e.Control().Flush()
	}
	return s.current
}

// do lets the loop of Run call command, and waits until command calls done. Between runs do calls idle instead, under
// s.mu.
func do(s *Spool, command func(c *engine.Control, done func()), idle func()) {
	for {
		s.mu.Lock()
		current := s.current
		if current == nil {
			idle()
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if current.engine.Do(command, current.ended) {
			return
		}
	}
}

// engine converts o for the engine, with all defaults. The error is that of a wrong option. watchers get every event
// after OnEvent.
func (o Options) engine(dir *spooldir.Dir, watchers *observers.List[Event]) (eo engine.Options, err error) {
	o.Logger = cmp.Or(o.Logger, slog.Default())
	if o.ShortAddresses {
		o.Logger = slog.New(addrmask.NewHandler(o.Logger.Handler(), nil))
	}
	eo = engine.Options{
		StatusFile: o.StatusFile, Freq: o.Freq, Settle: o.Settle, Temporary: o.TemporaryNames,
		MaxAge: o.MaxAge, WarnAfter: o.WarnAfter, Reports: !o.NoReports, PickupDots: o.PickupDots,
		Retry: record.Rule{MaxAttempts: o.Attempts, Backoff: o.Backoff},
		Most:  o.MaxRecipients, Rate: o.Rate.String(), Grace: o.Grace, LocalName: o.LocalName, Logger: o.Logger,
		Trace: o.Trace, ShortAddresses: o.ShortAddresses, Delivery: o.delivery(), Postmaster: o.Postmaster,
		OnAttempt: o.onAttempt(),
		OnEvent: func(ev queue.Event) {
			e := eventOf(ev)
			if o.OnEvent != nil {
				_ = guard.Call(o.Logger, "Options.OnEvent", func() { o.OnEvent(e) })
			}
			watchers.Call(func(f func(Event)) { _ = guard.Call(o.Logger, "function of Observe", func() { f(e) }) })
		},
	}
	switch {
	case o.SMTPAddr == "" && o.Transport == nil:
		return eo, errors.New("no relay: Options.SMTPAddr is empty")
	case o.MaxSize < 0:
		return eo, errors.New("option MaxSize is negative")
	case o.Watch != WatchAuto && o.Watch != WatchOff:
		return eo, fmt.Errorf("option Watch: no value %d", o.Watch)
	}
	for _, r := range append([]Route{{SMTP: o.SMTP}}, o.Routes...) {
		if s := r.SMTP; s.TokenSource != nil && (s.Secret != nil || s.Password != "") {
			return eo, errors.New("options SMTP.TokenSource and Secret or Password: only one of them can be the login")
		}
	}
	if eo.Rewrite, eo.RouteRewrite, err = o.rewriting(); err != nil {
		return eo, err
	}
	return eo, eo.Complete(dir)
}

// Internal returns the options with all defaults, in the terms of internal packages. Only package fleet can use it.
func (o Options) Internal() (engine.Options, error) {
	return o.engine(&spooldir.Dir{}, &observers.List[Event]{})
}
