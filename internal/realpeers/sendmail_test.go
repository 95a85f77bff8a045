package realpeers

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/matryer/is"
)

// sendmailConfig: one port for every client on this host, one for users who are logged in over TLS. %[1]s is the
// directory of all files, %[2]s and %[3]s are the ports, %[4]s is the port of the mailbox. Sendmail relays all mail by
// SMTP.
const sendmailConfig = `V10/Berkeley
Cwpeer.example.test
Djpeer.example.test
O QueueDirectory=%[1]s/queue
O PidFile=%[1]s/sendmail.pid
O StatusFile=%[1]s/statistics
O DontProbeInterfaces=true
O DontBlameSendmail=TrustStickyBit,GroupWritableDirPathSafe
O DeliveryMode=background
O QueueLA=1000
O RefuseLA=1000
O SuperSafe=true
O EightBitMode=pass8
O SendMimeErrors=true
O Timeout.ident=0
O PrivacyOptions=authwarnings
O ResolverOptions=-DNSRCH
O ServiceSwitchFile=%[1]s/switch
O HostsFile=/etc/hosts
O DefaultUser=65533:65533
O TrustedUser=root
O AuthMechanisms=PLAIN
O AuthOptions=p
O ServerCertFile=%[1]s/cert.pem
O ServerKeyFile=%[1]s/key.pem
O CACertPath=%[1]s/over
O CACertFile=%[1]s/cert.pem
O DaemonPortOptions=Name=plain,Addr=127.0.0.1,Port=%[2]s,Family=inet,M=AE
O DaemonPortOptions=Name=login,Addr=127.0.0.1,Port=%[3]s,Family=inet,M=aE
Troot
H?P?Return-Path: <$g>
HReceived: $?sfrom $s $.$?_($?s$|from $.$_) $.by $j id $i; $b
H?D?Date: $a
H?M?Message-Id: <$t.$i@$j>

S3
R$*<$+>$*	$: $2

S0
R$+		$#box $@ [127.0.0.1] $: $1

Scheck_rcpt
R$*		$: $&{daemon_name}
Rplain		$@ ok
R$*		$: $&{auth_authen}
R$+		$@ ok
R$*		$#error $@ 5.7.1 $: "550 log in"

Mlocal,	P=[IPC], F=lDFMnXk8, S=0, R=0, L=0, E=\r\n, T=DNS/RFC822/SMTP, A=TCP [127.0.0.1] %[4]s
Mprog,	P=[IPC], F=lDFMnXk8, S=0, R=0, L=0, E=\r\n, T=DNS/RFC822/SMTP, A=TCP [127.0.0.1] %[4]s
Mbox,	P=[IPC], F=DFMnmXk8, S=0, R=0, L=0, E=\r\n, T=DNS/RFC822/SMTP, A=TCP [127.0.0.1] %[4]s
`

// startSendmail starts Sendmail in its own mount namespace.
func startSendmail(t *testing.T, c certs) peer {
	root := unpacked(t, "sendmail", "/usr/libexec/sendmail/sendmail")
	is := is.New(t)
	dir, plain, login := newHome(t), freePort(t), freePort(t)
	var box mailbox
	conf := fmt.Sprintf(sendmailConfig, dir, plain, login, startMailbox(t, &box))
	v := newView(t, dir, root, "", "")
	host, err := os.Hostname()
	is.NoErr(err)
	// without a domain for the name of the host, Sendmail waits a minute at its start
	prepend(t, "/etc/hosts", "127.0.0.1 peer.example.test "+host+"\n", filepath.Join(dir, "over", "hosts"))
	writeFile(t, filepath.Join(dir, "sendmail.cf"), []byte(conf))
	writeFile(t, filepath.Join(dir, "switch"), []byte("hosts files\naliases files\npasswd files\n"))
	writeFile(t, filepath.Join(dir, "over", "sasl2", "Sendmail.conf"),
		[]byte("pwcheck_method: saslauthd\nsaslauthd_path: "+filepath.Join(dir, "mux")+"\nmech_list: PLAIN\n"))
	writeFile(t, filepath.Join(dir, "cert.pem"), c.cert)
	writeKey(t, filepath.Join(dir, "key.pem"), c.key)
	is.NoErr(os.Mkdir(filepath.Join(dir, "queue"), 0o700))
	serveSASL(t, filepath.Join(dir, "mux"))
	v.start(t, "/usr/libexec/sendmail/sendmail", "-C", filepath.Join(dir, "sendmail.cf"), "-bD", "-q1m")
	waitListening(t, "127.0.0.1:"+login)
	return peer{
		addr: "127.0.0.1:" + login, plain: "127.0.0.1:" + plain, folds: true,
		offers: []string{"PIPELINING", "AUTH", "SIZE", "8BITMIME", "DSN"},
		copies: func(t *testing.T) []delivery {
			waitEmpty(t, filepath.Join(dir, "queue"))
			return box.all()
		},
	}
}

// serveSASL answers on a Unix socket like saslauthd of Cyrus SASL: the request has four strings with their lengths
// (user, password, service, realm), the reply has one.
func serveSASL(t *testing.T, path string) {
	is := is.New(t)
	l, err := net.Listen("unix", path)
	is.NoErr(err)
	is.NoErr(os.Chmod(path, 0o666))
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			answerSASL(conn)
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
}

// answerSASL answers one request of Cyrus SASL.
func answerSASL(conn net.Conn) {
	var asked [4]string
	for i := range asked {
		var size uint16
		if binary.Read(conn, binary.BigEndian, &size) != nil {
			return
		}
		text := make([]byte, size)
		if _, err := io.ReadFull(conn, text); err != nil {
			return
		}
		asked[i] = string(text)
	}
	answer := "NO"
	if asked[0] == user && asked[1] == password {
		answer = "OK"
	}
	_ = binary.Write(conn, binary.BigEndian, uint16(len(answer)))
	_, _ = io.WriteString(conn, answer)
}
