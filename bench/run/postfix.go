//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// postfixMain is the configuration of a null client: all mail goes to the relay. Other settings are defaults.
// in_flow_delay concerns incoming mail only: without the queue manager it would add seconds to each message.
const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
relayhost = [127.0.0.1]:%[2]s
myhostname = bench.test
mydestination =
alias_maps =
inet_interfaces = loopback-only
inet_protocols = ipv4
message_size_limit = 0
mailbox_size_limit = 0
in_flow_delay = 0
`

// postfixTuned is the configuration for %[1]d connections at once that are kept open.
const postfixTuned = `default_process_limit = %[2]d
smtp_destination_concurrency_limit = %[1]d
initial_destination_concurrency = %[1]d
smtp_connection_cache_destinations = [127.0.0.1]
smtp_connection_reuse_time_limit = 3600s
max_use = 10000
`

// postfixTLS is the configuration for a relay with TLS from the first byte. Postfix does not verify the certificate.
// Connections with TLS are kept open in tlsproxy.
const postfixTLS = `smtp_tls_security_level = encrypt
smtp_tls_wrappermode = yes
smtp_tls_connection_reuse = yes
`

// postfixServices is the process table without the queue manager: submitted mail stays in the incoming queue. There is
// no chroot. %s is the port for submission.
const postfixServices = `127.0.0.1:%s inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
tlsproxy unix - - n - 0 tlsproxy
`

const postfixQueueManager = "qmgr unix n - n 300 1 qmgr\n"

// postfixPeer is Postfix with n connections at the same time; zero: its defaults.
func postfixPeer(n int) peer {
	return peer{
		fill:     func(e *env, l load) error { return postfixFill(e, l, n, "", "") },
		release:  postfixRelease,
		sendmail: postfixSendmail,
		submit: func(e *env, l load, n int) error {
			cmd := exec.Command("/usr/sbin/sendmail", "-C", filepath.Join(e.dir, "etc"), "-i", "-f", sender, recipient)
			cmd.Stdin, cmd.Stderr = bytes.NewReader(l.message(n)), e.log
			return cmd.Run()
		},
		later: func(e *env, l load) error {
			const wait = "defer_transports = smtp\nminimal_backoff_time = 6h\nmaximal_backoff_time = 12h\n"
			return postfixFill(e, l, n, wait, postfixQueueManager)
		},
	}
}

// postfixFill starts Postfix and submits l. settings are added to its configuration, services to its processes.
func postfixFill(e *env, l load, n int, settings, services string) error {
	port, err := freePort()
	if err != nil {
		return err
	}
	if err := postfixConfigure(e, n, settings, fmt.Sprintf(postfixServices, port)+services); err != nil {
		return err
	}
	if err := e.start("", "postfix", "-c", filepath.Join(e.dir, "etc"), "start"); err != nil {
		return err
	}
	if err := inject("127.0.0.1:"+port, l); err != nil {
		return err
	}
	if err := postfixReload(e); err != nil { // ends the processes of the submission
		return err
	}
	time.Sleep(time.Second)
	return nil
}

// postfixConfigure writes the configuration for n connections at the same time, with settings added, and the table of
// processes.
func postfixConfigure(e *env, n int, settings, services string) error {
	etc, data := filepath.Join(e.dir, "etc"), filepath.Join(e.dir, "data")
	for _, dir := range []string{etc, data, filepath.Join(e.dir, "queue")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	owner, err := user.Lookup("postfix")
	if err != nil {
		return fmt.Errorf("is Postfix installed? %w", err)
	}
	uid, _ := strconv.Atoi(owner.Uid)
	if err := os.Chown(data, uid, 0); err != nil {
		return err
	}
	conf := fmt.Sprintf(postfixMain, e.dir, e.port())
	if n > 0 {
		conf += fmt.Sprintf(postfixTuned, n, max(100, n+50))
	}
	if e.ca != "" {
		conf += postfixTLS
	}
	conf += settings
	if err := os.WriteFile(filepath.Join(etc, "main.cf"), []byte(conf), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(etc, "master.cf"), []byte(services), 0o644)
}

// postfixRelease gives Postfix its queue manager back.
func postfixRelease(e *env) error {
	services, err := os.OpenFile(filepath.Join(e.dir, "etc", "master.cf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer services.Close()
	if _, err := services.WriteString(postfixQueueManager); err != nil {
		return err
	}
	return postfixReload(e)
}

// postfixReload makes the master read its table of processes, by the signal of "postfix reload".
func postfixReload(e *env) error {
	text, err := os.ReadFile(filepath.Join(e.dir, "queue", "pid", "master.pid"))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("find the pid of Postfix: %w", err)
	}
	return syscall.Kill(pid, syscall.SIGHUP)
}

// freePort returns a port without a listener.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// dial connects to a server that may still be starting.
func dial(addr string) (net.Conn, error) {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", addr)
		if err == nil || time.Now().After(end) {
			return conn, err
		}
	}
}
