package realpeers

import (
	"fmt"
	"net/smtp"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// opensmtpdConfig: one port for every client on this host, one for users who are logged in over TLS. %[1]s is the
// directory of all files, %[2]s and %[3]s are the ports, %[4]s is the user, %[5]s the hash of the password, %[6]s the
// port of the mailbox. OpenSMTPD has a queue and relays all mail by SMTP.
const opensmtpdConfig = `pki peer.example.test cert "%[1]s/cert.pem"
pki peer.example.test key "%[1]s/key.pem"
table users { %[4]s = "%[5]s" }
listen on 127.0.0.1 port %[2]s hostname peer.example.test
listen on 127.0.0.1 port %[3]s hostname peer.example.test tls-require pki peer.example.test auth <users>
action "box" relay host "smtp://127.0.0.1:%[6]s"
match from any for domain "example.test" action "box"
`

// The names of OpenSMTPD's users are compiled in.
const (
	opensmtpdNames = "opensmtpd:x:65531:65531::/var/lib/opensmtpd/empty:/usr/sbin/nologin\n" +
		"opensmtpq:x:65530:65530::/var/lib/opensmtpd/empty:/usr/sbin/nologin\n"
	opensmtpdGroups = "opensmtpd:x:65531:\nopensmtpq:x:65530:\n"
)

// tryTLS returns an error if a server cannot use TLS. OpenSMTPD 6.8 of Debian 12 loses its key with OpenSSL 3 ("missing
// private key"), and offers AUTH over TLS only.
func tryTLS(addr string, c certs) error {
	client, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.StartTLS(c.client)
}

// startOpenSMTPD starts OpenSMTPD 6.8 of Debian 12.
func startOpenSMTPD(t *testing.T, c certs) peer { return startOpenSMTPDOf(t, c, "opensmtpd") }

// startOpenSMTPD7 starts OpenSMTPD 7 of Debian 13, which has TLS.
func startOpenSMTPD7(t *testing.T, c certs) peer {
	server := startOpenSMTPDOf(t, c, "opensmtpd7")
	is.New(t).True(server.addr != "") // TLS and login are tested
	return server
}

// startOpenSMTPDOf starts the OpenSMTPD in a directory below .ci, in its own mount namespace.
func startOpenSMTPDOf(t *testing.T, c certs, directory string) peer {
	root := unpacked(t, directory, "/usr/sbin/smtpd")
	is := is.New(t)
	hash, err := exec.Command("openssl", "passwd", "-6", password).Output()
	is.NoErr(err) // the password is hashed
	dir, plain, login := newHome(t), freePort(t), freePort(t)
	var box mailbox
	conf := fmt.Sprintf(opensmtpdConfig, dir, plain, login, user, strings.TrimSpace(string(hash)), startMailbox(t, &box))
	writeFile(t, filepath.Join(dir, "smtpd.conf"), []byte(conf))
	writeFile(t, filepath.Join(dir, "cert.pem"), c.cert)
	writeKey(t, filepath.Join(dir, "key.pem"), c.key)
	v := newView(t, dir, root, opensmtpdNames, opensmtpdGroups)
	v.start(t, "/usr/sbin/smtpd", "-d", "-f", filepath.Join(dir, "smtpd.conf"))
	waitListening(t, "127.0.0.1:"+login)
	addr := "127.0.0.1:" + login
	if err := tryTLS(addr, c); err != nil {
		t.Logf("LEFT OUT: TLS and AUTH, as this OpenSMTPD cannot use its key: %v", err)
		addr = ""
	}
	return peer{
		addr: addr, plain: "127.0.0.1:" + plain,
		offers: []string{"AUTH", "SIZE", "8BITMIME", "DSN"},
		copies: func(t *testing.T) []delivery {
			waitEmpty(t, filepath.Join(dir, "spool", "smtpd", "queue"), filepath.Join(dir, "spool", "smtpd", "incoming"))
			return box.all()
		},
	}
}
