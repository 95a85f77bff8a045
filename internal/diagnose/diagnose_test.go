package diagnose

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/attempt"
	"github.com/unbit/spoolgore/internal/smtpclient"
)

func dialled(err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: err}
}

func cause(op string, err error) *spoolgore.DeliveryError {
	return &spoolgore.DeliveryError{Op: op, Err: err, Fault: spoolgore.FaultRelay}
}

func reply(op, text string) *spoolgore.DeliveryError {
	var code int
	_, _ = fmt.Sscan(text, &code)
	return &spoolgore.DeliveryError{Op: op, Code: code, Err: errors.New(text)}
}

// failures has failures of each kind, with a word of the explanation that the other explanations lack.
var failures = map[string]struct {
	err   error
	means string
}{
	"name":            {cause("dial", dialled(&net.DNSError{IsNotFound: true})), "does not know that name"},
	"name server":     {cause("dial", dialled(&net.DNSError{IsTimeout: true})), "does not answer now"},
	"refused":         {cause("dial", dialled(syscall.ECONNREFUSED)), "no server listens"},
	"no answer":       {cause("dial", dialled(os.ErrDeadlineExceeded)), "no answer"},
	"no answer there": {cause("dial", dialled(context.DeadlineExceeded)), "no answer"},
	"no route":        {cause("dial", dialled(syscall.EHOSTUNREACH)), "no route"},
	"no network":      {cause("dial", dialled(syscall.ENETUNREACH)), "no route"},
	"socket":          {cause("dial", dialled(fs.ErrNotExist)), "no such socket"},
	"permission":      {cause("dial", dialled(syscall.EACCES)), "does not let this user"},
	"not reached":     {cause("dial", errors.New("who knows")), "cannot be reached"},

	"greeting":         {reply("greeting", "554 5.7.1 go away"), "takes no mail from this host"},
	"silent greeting":  {cause("greeting", os.ErrDeadlineExceeded), "sends no greeting"},
	"no greeting":      {cause("greeting", io.EOF), "sends no greeting"},
	"strange greeting": {cause("greeting", errors.New("bad reply line")), "not a mail relay"},
	"busy":             {reply("greeting", "421 4.7.0 busy"), "ends connections"},
	"name given":       {reply("ehlo", "550 5.7.1 no"), "the name of this host in EHLO"},

	"certificate's name": {cause("tls", x509.HostnameError{Certificate: &x509.Certificate{}, Host: "x"}), "for another name"},
	"expired":            {cause("tls", x509.CertificateInvalidError{Reason: x509.Expired}), "has expired"},
	"authority":          {cause("tls", fmt.Errorf("handshake: %w", x509.UnknownAuthorityError{})), "has signed"},
	"no TLS there":       {cause("tls", tls.RecordHeaderError{}), "no TLS on that port"},
	"no STARTTLS":        {cause("tls", smtpclient.ErrNoStartTLS), "does not offer STARTTLS"},
	"STARTTLS refused":   {reply("tls", "454 4.7.0 not now"), "then refuses TLS"},
	"TLS lost":           {cause("tls", io.EOF), "TLS handshake"},
	"pin":                {cause("tls", errors.New("the relay's key is x")), "not the expected certificate"},

	"password":       {reply("auth", "535 5.7.8 no"), "the user or the password"},
	"application":    {reply("auth", "534 5.7.9 application-specific password required"), "with this password"},
	"TLS first":      {reply("auth", "538 5.7.11 encryption required"), "TLS before the login"},
	"login later":    {reply("auth", "454 4.7.0 later"), "cannot check the login now"},
	"mechanism":      {reply("auth", "504 5.5.4 unknown"), "this AUTH mechanism"},
	"no AUTH":        {cause("auth", smtpclient.ErrNoAuth), "does not offer a login"},
	"open line":      {cause("auth", smtpclient.ErrNotPrivate), "has no TLS"},
	"other AUTH":     {cause("auth", errors.New("get the password: no such file")), "login failed"},
	"login wanted":   {reply("mail", "530 5.7.0 authenticate first"), "wants a login"},
	"login for RCPT": {reply("rcpt", "530 5.7.0 authenticate first"), "wants a login"},
	"login for DATA": {reply("data", "530 5.7.0 authenticate first"), "wants a login"},

	"sender":         {reply("mail", "550 5.7.1 not yours"), "from this sender."},
	"sender later":   {reply("mail", "451 4.7.1 later"), "from this sender now"},
	"sender is none": {&spoolgore.DeliveryError{Op: "mail", Err: smtpclient.ErrAddress}, "not an address"},
	"size of MAIL":   {reply("mail", "552 5.3.4 too big"), "larger than the relay takes"},
	"lost at MAIL":   {cause("mail", io.EOF), "lost before"},

	"recipient":         {reply("rcpt", "550 5.1.1 no such user"), "no such recipient"},
	"recipient moved":   {reply("rcpt", "551 not here"), "no such recipient"},
	"recipient refused": {reply("rcpt", "550 no"), "the address is wrong, or"},
	"relaying":          {reply("rcpt", "550 5.7.1 relaying denied"), "from you"},
	"relaying of old":   {reply("rcpt", "554 relay access denied"), "from you"},
	"full":              {reply("rcpt", "552 5.2.2 over quota"), "full or closed"},
	"full now":          {reply("rcpt", "452 4.2.2 over quota"), "full or busy"},
	"greylisting":       {reply("rcpt", "450 4.7.1 come back"), "greylisting"},
	"enough":            {reply("rcpt", "452 4.5.3 enough"), "no more recipients"},
	"recipient is none": {&spoolgore.DeliveryError{Op: "rcpt", Err: smtpclient.ErrAddress}, "not an address"},
	"lost at RCPT":      {&spoolgore.DeliveryError{Op: "rcpt", Err: io.EOF}, "lost before"},

	"program":         {cause("exec", errors.New("exit code 75")), "program that is the relay"},
	"program refuses": {reply("exec", "550 5.1.1 no such user"), "no such recipient"},
	"too large":       {&spoolgore.DeliveryError{Op: "size", Permanent: true, Err: errors.New("2 octets, 1")}, "larger than the relay takes"},
	"signed":          {&spoolgore.DeliveryError{Op: "8bitmime", Permanent: true, Err: errors.New("signed")}, "may not be re-encoded"},
	"letters":         {&spoolgore.DeliveryError{Op: "smtputf8", Permanent: true, Err: errors.New("ü")}, "not ASCII"},
	"content":         {reply("end", "554 5.7.1 spam"), "by its rules"},
	"malformed":       {reply("end", "550 5.6.0 two From fields"), "malformed"},
	"content later":   {reply("data", "451 4.3.0 later"), "this message now"},
	"size of DATA":    {reply("end", "552 5.2.3 too big"), "larger than the relay takes"},
	"lost at the end": {&spoolgore.DeliveryError{Op: "end", Uncertain: true, Err: io.EOF}, "may have it"},
	"lost in DATA":    {&spoolgore.DeliveryError{Op: "content", Err: io.EOF}, "in the middle"},
	"not known":       {errors.New("the transport gave no result"), "no more is known"},
}

func TestAdvice(t *testing.T) {
	for name, c := range failures {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			a := Of(c.err).Advice()
			is.True(strings.Contains(a.Means, c.means)) // the explanation
			for _, said := range []string{a.Means, a.Do} {
				is.True(strings.HasSuffix(said, ".")) // whole sentences
				is.True(len(said) < 240)              // of limited length
			}
		})
	}
}

// The text of an error in a status file is understood like the error itself.
func TestReadKnowsStepAndCodes(t *testing.T) {
	for name, c := range failures {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			want := Of(c.err)
			for _, before := range []string{"", "mail.example.com:25: ", "given up after 100 attempts: ", "not delivered by 2026-05-01T12:00:00Z: "} {
				got := Read(before + c.err.Error())
				is.Equal(got.Op, want.Op)
				is.Equal(got.Code, want.Code)
				is.Equal(got.Enhanced, want.Enhanced)
			}
			if got := Read(c.err.Error()); got.Code != 0 {
				is.Equal(got.Advice(), want.Advice()) // the text has all that the advice needs
			}
		})
	}
}

// The text of a reply can mislead: only the codes count.
func TestReadIsNotMisledByText(t *testing.T) {
	is := is.New(t)
	// the first step in the text is the step that failed
	is.Equal(Read("rcpt: 450 4.2.0 auth: 535 5.7.8 wrong").Op, "rcpt")
	is.Equal(Read("rcpt: 450 auth: 535 5.7.8").Code, 450)
	is.Equal(Read("rcpt: 4500 x").Code, 0)           // no reply has such a code
	is.Equal(Read("rcpt: 450 5.1.1 x").Enhanced, "") // an enhanced code of another class is none
	is.Equal(Read(""), Failure{})
	is.Equal(Read("something: else"), Failure{})
}

func TestOfProbe(t *testing.T) {
	is := is.New(t)
	e := &smtpclient.Error{Op: attempt.OpRcpt, Reply: attempt.Reply{Code: 550, Enhanced: "5.1.1", Text: "no"}}
	f := Of(e)
	is.True(f.Permanent)                                             // the recipient would be given up
	is.True(!f.Relay)                                                // for a fault of the recipient
	is.Equal(f.Advice(), Of(reply("rcpt", "550 5.1.1 no")).Advice()) // a probe is explained like a delivery
	is.True(Of(&smtpclient.Error{Op: attempt.OpAuth, Reply: attempt.Reply{Code: 535}}).Relay)
}
