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
		return Advice{"The DNS does not know that name.",
			"Check the spelling of the relay in -smtpaddr or in the relays file."}
	case errors.As(err, &dns):
		return Advice{"The DNS does not answer now.",
			"Check the network and the name servers of this host (/etc/resolv.conf)."}
	case errors.Is(err, syscall.ECONNREFUSED):
		return Advice{"The host answers, but no server listens on that port.",
			"Check the port: 587 or 465 for users, 25 between servers. If the relay is your own, start it."}
	case isTimeout(err):
		return Advice{"There is no answer from that address.",
			"Check the address. A firewall may be in the way: many networks block port 25 but not 587 and 465."}
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return Advice{"This host has no route to that address.", "Check the network of this host."}
	case errors.Is(err, fs.ErrNotExist):
		return Advice{"There is no such socket.", "Check its path, and that the LMTP server runs."}
	case errors.Is(err, fs.ErrPermission):
		return Advice{"The system does not let this user connect there.",
			"Check the permissions of the socket, or the firewall of this host."}
	}
	return Advice{"The relay cannot be reached.", "Check the name and the port in -smtpaddr or in the relays file. " +
		"Check that the relay runs and that no firewall is in the way."}
}

// exec advises on a program as a relay. The program reports refusals as replies to RCPT.
func (f Failure) exec() Advice {
	if f.Code != 0 {
		return f.rcpt()
	}
	return Advice{"The program that is the relay has failed, or has run for too long.",
		byItself + " The log has what the program has written to standard error."}
}

// greeting advises on a connection without a session.
func (f Failure) greeting() Advice {
	var record tls.RecordHeaderError
	switch {
	case f.Op == "ehlo" && f.Code != 0:
		return Advice{"The relay refuses the name of this host in EHLO.",
			"Set a name that the DNS knows: -localname."}
	case f.Code != 0:
		return Advice{"The relay takes no mail from this host, at least not now.",
			"Read the reply: a block list may have the address of this host. Ask the relay's administrator."}
	case isTimeout(f.Err), smtpclient.IsHungUp(f.Err), f.Err == nil:
		return Advice{"The relay was reached, but sends no greeting.",
			"If that port is for TLS from the first byte, as 465 is, use -smtptls tls. " +
				"Otherwise the relay is busy or blocks this host."}
	case errors.As(f.Err, &record):
		return noTLS()
	}
	return Advice{"The server on that port is not a mail relay.",
		"Check the port: 587 or 465 for users, 25 between servers."}
}

func noTLS() Advice {
	return Advice{"There is no TLS on that port.",
		"Use -smtptls starttls, or the port for TLS from the first byte (465)."}
}

// tls advises on failed TLS.
func (f Failure) tls() Advice {
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch err := f.Err; {
	case errors.As(err, &host):
		return Advice{"The relay shows a certificate for another name.",
			"Use a name of the certificate in -smtpaddr, or pin the relay's key with -smtppin."}
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Advice{"The relay's certificate has expired or is not valid yet, or the clock of this host is wrong.",
			"Check the clock with date. Otherwise ask the relay's administrator to renew the certificate."}
	case errors.As(err, &unknown):
		return Advice{"No authority that this host trusts has signed the relay's certificate.",
			"Name a private authority with -smtpca. Pin the key of a self-signed certificate with -smtppin. " +
				"Otherwise an attacker may be between this host and the relay."}
	case errors.As(err, &record):
		return noTLS()
	case errors.Is(err, smtpclient.ErrNoStartTLS):
		return Advice{"The configuration requires TLS, but the relay does not offer STARTTLS on this port.",
			"Use the port for users: 587, or 465 with -smtptls tls."}
	case f.Code != 0:
		return Advice{"The relay offers TLS, and then refuses TLS.",
			byItself + " If the refusal stays, ask the relay's administrator."}
	case isTimeout(err), smtpclient.IsHungUp(err):
		return Advice{"The relay does not answer the TLS handshake.",
			"If that port begins without TLS, as 25 and 587 do, use -smtptls starttls."}
	}
	return Advice{"The TLS handshake failed, or the relay's certificate is not the expected certificate.",
		"Read the reason above, and check -smtpca, -smtppin, -smtpcert and -smtptls."}
}

// auth advises on a failed login.
func (f Failure) auth() Advice {
	switch {
	case f.Code == 535:
		return Advice{"The relay refuses the user or the password.",
			"Check both. Many providers want the whole address as the user, and an application password " +
				"instead of your own password."}
	case f.Code == 534:
		return Advice{"The relay does not let this account log in with this password.",
			"Create an application password at your provider, or use a token (-smtptoken)."}
	case f.Code == 530, f.Code == 538:
		return Advice{"The relay wants TLS before the login.", "Use -smtptls starttls, or port 465 with -smtptls tls."}
	case f.Code/100 == 4:
		return Advice{"The relay cannot check the login now.", byItself}
	case f.Code/100 == 5:
		return Advice{"The relay does not take this AUTH mechanism.",
			"Set another with -smtpauth, such as PLAIN or LOGIN."}
	case errors.Is(f.Err, smtpclient.ErrNoAuth):
		return Advice{"A user is set, but the relay does not offer a login on this port.",
			"Use the port for users (587, or 465 with -smtptls tls). If the relay needs no login, remove -smtpuser."}
	case errors.Is(f.Err, smtpclient.ErrNotPrivate):
		return Advice{"The password was not sent, because the connection has no TLS.",
			"Use a port with TLS: -smtptls starttls or -smtptls tls."}
	}
	return Advice{"The login failed.",
		"Read the reason above, and check -smtpuser, -smtpauth and the source of the password."}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
