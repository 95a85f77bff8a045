package realpeers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/matryer/is"
)

// eximConfig: one port for users who are logged in over TLS, and one for every client. All mail is delivered at once
// into one maildir. %[1]s is the directory of all files, %[2]s and %[6]s the ports, %[3]s the program, %[4]s and %[5]s
// name and password of the user.
const eximConfig = `primary_hostname = peer.example.test
domainlist local_domains = example.test
exim_user = Debian-exim
exim_group = Debian-exim
exim_path = %[3]s
spool_directory = %[1]s/spool
log_file_path = %[1]s/log/%%s
pid_file_path = %[1]s/exim.pid
local_interfaces = 127.0.0.1
daemon_smtp_ports = %[2]s : %[6]s
tls_advertise_hosts = *
tls_certificate = %[1]s/cert.pem
tls_privatekey = %[1]s/key.pem
auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}
chunking_advertise_hosts = *
pipelining_advertise_hosts = *
dsn_advertise_hosts = *
smtputf8_advertise_hosts = *
rfc1413_query_timeout = 0s
keep_environment =
never_users =
smtp_accept_queue_per_connection = 0
deliver_drop_privilege = true
acl_smtp_mail = from
acl_smtp_rcpt = to

begin acl
from:
  accept condition = ${if eq{$received_port}{%[6]s}}
  deny !encrypted = *
  deny !authenticated = *
  accept
to:
  accept domains = +local_domains
  deny

begin routers
box:
  driver = accept
  domains = +local_domains
  transport = box

begin transports
box:
  driver = appendfile
  maildir_format
  directory = %[1]s/box
  create_directory
  envelope_to_add
  return_path_add
  user = Debian-exim
  group = Debian-exim

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = ${if and{{eq{$auth2}{%[4]s}}{eq{$auth3}{%[5]s}}}}
  server_set_id = $auth2
`

// The name of Exim's user is compiled in. It exists in the mount namespace of the test only.
const (
	eximUser  = 65533
	eximNames = "Debian-exim:x:65533:65533::/:/usr/sbin/nologin\n"
	eximGroup = "Debian-exim:x:65533:\n"
)

// startExim starts Exim in its own mount namespace, which has its user.
func startExim(t *testing.T, c certs) peer {
	program := eximProgram(t)
	needRoot(t)
	if err := exec.Command("unshare", "-m", "true").Run(); err != nil {
		t.Skip("Exim needs a mount namespace of its own, and there can be none: ", err)
	}
	is := is.New(t)
	dir, port, plain := newHome(t), freePort(t), freePort(t)
	writeFile(t, filepath.Join(dir, "cert.pem"), c.cert)
	writeFile(t, filepath.Join(dir, "key.pem"), c.key)
	conf := fmt.Sprintf(eximConfig, dir, port, program, user, password, plain)
	writeFile(t, filepath.Join(dir, "exim.conf"), []byte(conf))
	for _, sub := range []string{"spool", "log", "box"} {
		is.NoErr(os.Mkdir(filepath.Join(dir, sub), 0o750))
		is.NoErr(os.Chown(filepath.Join(dir, sub), eximUser, eximUser))
	}
	is.NoErr(os.Chown(filepath.Join(dir, "key.pem"), eximUser, eximUser))
	names := prepend(t, "/etc/passwd", eximNames, filepath.Join(dir, "passwd"))
	groups := prepend(t, "/etc/group", eximGroup, filepath.Join(dir, "group"))

	const script = `mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/group && shift 2 && exec "$@"`
	cmd := exec.Command("unshare", "-m", "sh", "-c", script, "sh", names, groups,
		program, "-C", filepath.Join(dir, "exim.conf"), "-bdf")
	log, err := os.Create(filepath.Join(dir, "output"))
	is.NoErr(err)
	cmd.Stdout, cmd.Stderr = log, log
	is.NoErr(cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		_ = log.Close()
		if t.Failed() {
			logTail(t, log.Name(), filepath.Join(dir, "log", "main"), filepath.Join(dir, "log", "panic"))
		}
	})
	addr := "127.0.0.1:" + port
	waitListening(t, addr)
	return peer{addr: addr, plain: "127.0.0.1:" + plain, offers: everything, copies: func(t *testing.T) []delivery {
		waitEmpty(t, filepath.Join(dir, "spool", "input"))
		return readMaildir(t, filepath.Join(dir, "box", "new"))
	}}
}

// eximProgram returns the path of Exim, or skips the test.
func eximProgram(t *testing.T) string {
	unpacked, err := filepath.Abs("../../.ci/exim/usr/sbin/exim4")
	is.New(t).NoErr(err)
	for _, program := range []string{unpacked, "/usr/sbin/exim4"} {
		if _, err := os.Stat(program); err == nil {
			return program
		}
	}
	t.Skip("Exim is not there: neither .ci/exim/usr/sbin/exim4 (unpacked by .ci/full) nor /usr/sbin/exim4")
	return ""
}

// prepend writes line and the content of the file from to path, so that line comes first. It returns path.
func prepend(t *testing.T, from, line, path string) string {
	text, err := os.ReadFile(from)
	is.New(t).NoErr(err)
	writeFile(t, path, append([]byte(line), text...))
	return path
}
