package realpeers

import (
	"fmt"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/matryer/is"
)

// postfixMain: only users who are logged in over TLS may send, and all mail is delivered into one maildir. %[1]s is the
// directory of all files, %[2]d the user and group of the maildir.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
myhostname = peer.example.test
mydestination =
mynetworks =
alias_maps =
inet_interfaces = loopback-only
inet_protocols = ipv4
local_header_rewrite_clients =
virtual_mailbox_domains = example.test
virtual_mailbox_base = %[1]s
virtual_mailbox_maps = static:box/
virtual_uid_maps = static:%[2]d
virtual_gid_maps = static:%[2]d
smtpd_tls_security_level = encrypt
smtpd_tls_cert_file = %[1]s/cert.pem
smtpd_tls_key_file = %[1]s/key.pem
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = %[1]s/auth
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
`

// postfixServices is master.cf. No service uses chroot. %s are the ports: for users who are logged in over TLS, and for
// every client.
const postfixServices = `127.0.0.1:%s inet n - n - - smtpd
127.0.0.1:%s inet n - n - - smtpd
 -o smtpd_tls_security_level=none -o smtpd_sasl_auth_enable=no
 -o smtpd_relay_restrictions= -o smtpd_recipient_restrictions=reject_unauth_destination
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`

// postfixBox is the uid of the maildir. It needs no name.
const postfixBox = 65533

// startPostfix starts the Postfix of the system with a configuration of its own.
func startPostfix(t *testing.T, c certs) peer {
	needRoot(t)
	program, err := exec.LookPath("postfix")
	if err != nil {
		t.Skip("Postfix is not there: ", err)
	}
	is := is.New(t)
	dir, port, plain := newHome(t), freePort(t), freePort(t)
	etc := postfixConfigure(t, dir, port, plain, c)
	serveAuth(t, filepath.Join(dir, "auth"))
	postfix := func(act string) error {
		text, err := exec.Command(program, "-c", etc, act).CombinedOutput()
		if err != nil {
			t.Logf("postfix %s: %v: %s", act, err, text)
		}
		return err
	}
	t.Cleanup(func() {
		if t.Failed() {
			logTail(t, filepath.Join(dir, "log"))
		}
	})
	is.NoErr(postfix("start"))
	// stops Postfix by the process id in its queue directory, and waits for the end
	t.Cleanup(func() { _ = postfix("stop") })
	addr := "127.0.0.1:" + port
	waitListening(t, addr)
	return peer{addr: addr, plain: "127.0.0.1:" + plain, offers: everything, copies: func(t *testing.T) []delivery {
		queue := filepath.Join(dir, "queue")
		waitEmpty(t, filepath.Join(queue, "incoming"), filepath.Join(queue, "active"), filepath.Join(queue, "deferred"))
		return readMaildir(t, filepath.Join(dir, "box", "new"))
	}}
}

// postfixConfigure writes the files that Postfix needs to dir and returns the configuration directory.
func postfixConfigure(t *testing.T, dir, port, plain string, c certs) string {
	is := is.New(t)
	owner, err := osuser.Lookup("postfix")
	is.NoErr(err)
	uid, err := strconv.Atoi(owner.Uid)
	is.NoErr(err)
	for name, uid := range map[string]int{"etc": 0, "queue": 0, "data": uid, "box": postfixBox} {
		is.NoErr(os.Mkdir(filepath.Join(dir, name), 0o755))
		is.NoErr(os.Chown(filepath.Join(dir, name), uid, 0))
	}
	etc := filepath.Join(dir, "etc")
	writeFile(t, filepath.Join(dir, "cert.pem"), c.cert)
	writeFile(t, filepath.Join(dir, "key.pem"), c.key)
	writeFile(t, filepath.Join(etc, "main.cf"), fmt.Appendf(nil, postfixMain, dir, postfixBox))
	writeFile(t, filepath.Join(etc, "master.cf"), fmt.Appendf(nil, postfixServices, port, plain))
	return etc
}
