package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/unbit/spoolgore/internal/aliases"
	"github.com/unbit/spoolgore/internal/conf"
	"github.com/unbit/spoolgore/internal/config"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/msgfile"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/sendmail"
	"github.com/unbit/spoolgore/internal/smtplisten"
	"github.com/unbit/spoolgore/internal/spooldir"
	"github.com/unbit/spoolgore/internal/stdiosmtp"
	"github.com/unbit/spoolgore/internal/submission"
)

// listenSMTP opens the socket of -listen. serve starts the server, and end stops it.
func listenSMTP(c *config.Config, log *slog.Logger) (serve func() (end func()), err error) {
	if err := c.CheckLoop(); err != nil {
		return nil, err
	}
	in, err := newTCPIntake(c, log)
	if err != nil {
		return nil, err
	}
	users, certificate, err := listenFiles(c)
	if err != nil {
		return nil, err
	}
	socket, err := smtplisten.Listen(c.Listen, certificate, users != nil)
	if err != nil {
		return nil, fmt.Errorf("-listen: %w", err)
	}
	log.Info("SMTP server started", "addr", socket.Addr().String(), "login", users != nil, "tls", certificate != nil)
	listener := &smtplisten.Listener{Log: log, New: func(uid string) (*stdiosmtp.Server, error) {
		server, err := in.server(uid)
		if err == nil && users != nil {
			server.Login = users.Login
		}
		return server, err
	}}
	return func() (end func()) {
		go in.quota.load()
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := listener.Serve(ctx, socket); err != nil {
				log.Error("SMTP server failed; delivery continues", "err", err)
			}
		}()
		return func() { stop(); <-ended }
	}, nil
}

// listenFiles reads the users and the certificate of -listen; nil: there are none.
func listenFiles(c *config.Config) (users smtplisten.Users, certificate *tls.Certificate, err error) {
	if c.ListenUser != "" {
		if users, err = smtplisten.ReadUsers(c.ListenUser); err != nil {
			return nil, nil, fmt.Errorf("-listenuser: %w", err)
		}
	}
	if c.ListenCert != "" {
		pair, err := tls.LoadX509KeyPair(c.ListenCert, c.ListenKey)
		if err != nil {
			return nil, nil, fmt.Errorf("-listencert: %w", err)
		}
		certificate = &pair
	}
	return users, certificate, nil
}

// defaultMaxSize is the limit for a message without maxsize, as for a setgid sendmail-spool: any program on the host
// can connect.
const defaultMaxSize = 50 << 20

// errNoRoom is the reply 451 to a message for which the disk has no room but that which the daemon needs.
var errNoRoom = errors.New("the disk has only the room left that the daemon needs")

// errUserSize is the reply 451 to a message with which the messages of a user would exceed usersize.
var errUserSize = errors.New("your messages in the spool would exceed the limit usersize")

// tcpIntake puts messages of SMTP clients into the spool. Its settings are those of sendmail-spool.
type tcpIntake struct {
	dir     *spooldir.Dir
	domain  string // for addresses without a domain
	host    string
	aliases string                                         // path of the alias file; empty: none
	maxSize int64                                          // octets of a message; zero: no limit
	maxTo   int                                            // recipients of a message
	quota   *userQuota                                     // nil: no limit for a user
	room    func(*spooldir.Dir) (octets int64, known bool) // that may be added to the disk
	log     *slog.Logger
}

func newTCPIntake(c *config.Config, log *slog.Logger) (in tcpIntake, err error) {
	in.log, in.host, in.room = log, msgfile.Host(""), spooldir.Room
	in.maxTo = cmp.Or(c.Opts.MaxRecipients, record.MaxRecipients)
	if in.dir, err = spooldir.New(c.Dir); err != nil {
		return in, err
	}
	in.domain = cmp.Or(c.From["domain"].Value, config.DefaultDomain())
	if message.CheckAddress("a@"+in.domain) != nil {
		in.domain = "localhost"
	}
	switch path := c.From["aliases"].Value; path {
	case "none":
	case "":
		usual := config.InEtc("aliases")
		if f, err := os.Open(usual); err == nil {
			_ = f.Close()
			in.aliases = usual
		}
	default:
		in.aliases = path
	}
	in.maxSize = defaultMaxSize
	if size := c.From["maxsize"].Value; size != "" {
		if in.maxSize, err = conf.Size(size); err != nil {
			return in, fmt.Errorf("%s: maxsize: %w", c.From["maxsize"].Origin, err)
		}
	}
	if in.quota, err = newUserQuota(c, in.dir); err != nil {
		return in, err
	}
	return in, nil
}

// server returns the server for one client. The alias file is read for each connection.
func (in tcpIntake) server(uid string) (*stdiosmtp.Server, error) {
	d := sendmail.Defaults{Domain: in.domain, MaxSize: in.maxSize, MaxTo: in.maxTo, Now: time.Now()}
	if in.aliases != "" {
		say := func(problem string) { in.log.Warn("alias file has an error", "err", problem) }
		if err := aliases.AddTo(&d, in.aliases, in.host, say); err != nil {
			return nil, fmt.Errorf("aliases: %w", err)
		}
	}
	hop := message.Hop{Host: in.domain, With: "ESMTP", UID: uid}
	return submission.Server(sendmail.Intake{
		Defaults: d,
		Schedule: func(env *message.Envelope) { env.UID = uid },
		Check: func() error {
			_, err := in.quota.room(uid, time.Now())
			return err
		},
		Put: func(m *sendmail.Message) error { return in.put(m, hop) },
		Discard: func(content io.Reader) error {
			_, err := io.Copy(io.Discard, content)
			return err
		},
	}), nil
}

// put puts a message into the spool.
func (in tcpIntake) put(m *sendmail.Message, hop message.Hop) error {
	hop.Time = time.Now()
	room, known := in.room(in.dir)
	why := errNoRoom
	left, err := in.quota.room(hop.UID, hop.Time)
	if err != nil {
		return err
	}
	if left >= 0 && (!known || left < room) {
		room, known, why = left, true, errUserSize
	}
	size := int64(0)
	name, err := spooldir.PutNamed(in.dir, func(w io.Writer, name string) (err error) {
		hop.Name = name
		m.Trace(hop)
		if known {
			w = &bounded{Writer: w, left: room, why: why}
		}
		size, err = m.WriteTo(w)
		return err
	})
	if err == nil {
		in.quota.add(hop.UID, name, size)
	}
	return err
}

// bounded is a writer that takes a number of octets.
type bounded struct {
	io.Writer
	left int64
	why  error // for more octets
}

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= int64(len(p)); b.left < 0 {
		return 0, b.why
	}
	return b.Writer.Write(p)
}
