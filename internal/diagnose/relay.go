package diagnose

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

// dial advises on a relay without a connection.
func (f Failure) dial() Advice {
	var dns *net.DNSError
	switch err := f.Err; {
	case errors.As(err, &dns) && dns.IsNotFound:
		return Advice{"The DNS does not know that name.", "Check the spelling of the relay in -smtpaddr or in the relays file."}
	case errors.As(err, &dns):
		return Advice{"The DNS cannot be asked now.", "Check the network and the name servers of this host (/etc/resolv.conf)."}
	case errors.Is(err, syscall.ECONNREFUSED):
		return Advice{"The host is there, but nothing listens on that port.",
			"Check the port: 587 or 465 for users, 25 between servers. If the relay is your own, start it."}
	case isTimeout(err):
		return Advice{"There is no answer from that address.",
			"Check the address. A firewall may be in the way: many networks let nothing out to port 25, and 587 or 465 work."}
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return Advice{"This host knows no way to that address.", "Check the network of this host."}
	case errors.Is(err, fs.ErrNotExist):
		return Advice{"There is no such socket.", "Check its path, and that the LMTP server runs."}
	case errors.Is(err, fs.ErrPermission):
		return Advice{"The system does not let this user connect there.", "Check the permissions of the socket, or the firewall of this host."}
	}
	return Advice{"The relay cannot be reached.", "Check its name and port in -smtpaddr or in the relays file, that it runs, and that no firewall is in the way."}
}

// greeting advises on a connection without a session.
func (f Failure) greeting() Advice {
	var record tls.RecordHeaderError
	switch {
	case f.Op == "ehlo" && f.Code != 0:
		return Advice{"The relay does not like the name that this host gives itself.", "Give it a name that the DNS knows, with -localname."}
	case f.Code != 0:
		return Advice{"The relay takes no mail from this host, at least not now.", "Ask who runs it: its answer may name a block list that has the address of this host."}
	case isTimeout(f.Err), smtpclient.IsHungUp(f.Err), f.Err == nil:
		return Advice{"The relay was reached, but does not say hello.", "If that port is for TLS from the first byte, as 465 is, use -smtptls tls. Else the relay is busy, or does not want this host."}
	case errors.As(f.Err, &record):
		return Advice{"There is no TLS on that port.", "Use -smtptls starttls, or the port for TLS from the first byte (465)."}
	}
	return Advice{"What answers there is not a mail relay.", "Check the port: 587 or 465 for users, 25 between servers."}
}

// tls advises on failed TLS.
func (f Failure) tls() Advice {
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch err := f.Err; {
	case errors.As(err, &host):
		return Advice{"The relay shows a certificate for another name.", "Use a name that the certificate has as the relay in -smtpaddr, or pin its key with -smtppin."}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Advice{"The relay's certificate has run out, or does not hold yet; or the clock of this host is wrong.",
			"Check the clock with date. Else who runs the relay has to renew it."}
	case errors.As(err, &unknown):
		return Advice{"Nobody whom this host trusts has signed the relay's certificate.",
			"If it has an authority of its own, name that with -smtpca; if it has signed it itself, pin its key with -smtppin. Else somebody may be in between."}
	case errors.As(err, &record):
		return Advice{"There is no TLS on that port.", "Use -smtptls starttls, or the port for TLS from the first byte (465)."}
	case errors.Is(err, smtpclient.ErrNoStartTLS):
		return Advice{"You want TLS, and the relay does not offer it here.", "Use the port for users: 587, or 465 with -smtptls tls."}
	case f.Code != 0:
		return Advice{"The relay offers TLS, and then refuses it.", "Nothing, it is tried again by itself. If it stays so, tell who runs the relay."}
	case isTimeout(err), smtpclient.IsHungUp(err):
		return Advice{"The relay does not answer the beginning of TLS.", "If that port begins in the clear, as 25 and 587 do, use -smtptls starttls."}
	}
	return Advice{"TLS with the relay does not come about, or its certificate is not the one wanted.",
		"The reason above says what is wrong; -smtpca, -smtppin, -smtpcert and -smtptls say what is wanted."}
}

// auth advises on a failed login.
func (f Failure) auth() Advice {
	switch {
	case f.Code == 535:
		return Advice{"The relay refuses the user or the password.",
			"Check both. Many providers want the whole address as the user, and a password made for the application in place of your own."}
	case f.Code == 534:
		return Advice{"The relay does not let this account log in like that.", "Make a password for the application at your provider, or use a token (-smtptoken)."}
	case f.Code == 530, f.Code == 538:
		return Advice{"The relay wants TLS before the login.", "Use -smtptls starttls, or port 465 with -smtptls tls."}
	case f.Code/100 == 4:
		return Advice{"The relay cannot check the login now.", "Nothing, it is tried again by itself."}
	case f.Code/100 == 5:
		return Advice{"The relay does not take this way to log in.", "Name another one with -smtpauth, such as PLAIN or LOGIN."}
	case errors.Is(f.Err, smtpclient.ErrNoAuth):
		return Advice{"There is a user to log in, and the relay does not offer a login here.",
			"Use its port for users (587, or 465 with -smtptls tls). If it needs no login, do without -smtpuser."}
	case errors.Is(f.Err, smtpclient.ErrNotPrivate):
		return Advice{"The password would go over a line that others may read, so it was not sent.", "Use a port with TLS: -smtptls starttls or -smtptls tls."}
	}
	return Advice{"The login did not come about.", "The reason above says what is wrong; -smtpuser, -smtpauth and where the password comes from say who logs in, and how."}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
