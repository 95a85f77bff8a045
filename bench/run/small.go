//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// The small peers read their configuration from fixed places, so a directory of unpacked packages is laid over the file
// system (see startCell).

// dmaPeer is the DragonFly Mail Agent: a process and a connection for every message in the queue, all at once.
func dmaPeer() peer {
	queue := func(e *env) string { return filepath.Join(e.dir, "dma") }
	return peer{
		unwaited: true,
		fill: func(e *env, l load) error {
			if err := os.MkdirAll(queue(e), 0o777); err != nil {
				return err
			}
			for n := range l.n {
				id := fmt.Sprintf("%x.%x", n, n)
				head := fmt.Sprintf("ID: %s\nSender: %s\nRecipient: %s\n", id, sender, recipient)
				if err := writeOpen(filepath.Join(queue(e), "M"+id), l.message(n)); err != nil {
					return err
				}
				if err := writeOpen(filepath.Join(queue(e), "Q"+id), []byte(head)); err != nil {
					return err
				}
			}
			return os.Chmod(queue(e), 0o777)
		},
		release: func(e *env) error {
			conf := fmt.Sprintf("SMARTHOST 127.0.0.1\nPORT %s\nSPOOLDIR %s\nMAILNAME bench.test\nNULLCLIENT\n",
				e.port(), queue(e))
			return e.startSmall("etc/dma/dma.conf", conf, "dma", "-q")
		},
	}
}

// nullmailerPeer is nullmailer: one message after the other, each in a connection.
func nullmailerPeer() peer {
	spool := func(e *env) string { return filepath.Join(e.dir, "nullmailer") }
	const head = sender + "\n" + recipient + "\n\n"
	fill := func(e *env, l load) error {
		for _, dir := range []string{"tmp", "failed"} {
			if err := os.MkdirAll(filepath.Join(spool(e), dir), 0o777); err != nil {
				return err
			}
		}
		name := func(n int) string { return fmt.Sprintf("%d.%d", 1_700_000_000+n, n) }
		return l.write(filepath.Join(spool(e), "queue"), 0o600, name, head)
	}
	start := func(e *env, remotes string) error {
		return e.startSmall("etc/nullmailer/remotes", remotes, "sh", "-c",
			"mount --bind "+e.dir+" /var/spool && mkfifo -m 600 /var/spool/nullmailer/trigger && exec nullmailer-send")
	}
	return peer{
		slow:     50,
		sendmail: nullmailerSendmail,
		fill:     fill,
		release:  func(e *env) error { return start(e, fmt.Sprintf("127.0.0.1 smtp port=%s\n", e.port())) },
		later: func(e *env, l load) error {
			if err := fill(e, l); err != nil {
				return err
			}
			// reads its queue and waits for a relay: without a time at which a message is due
			return start(e, "")
		},
		submit: func(e *env, l load, n int) error { // as nullmailer-queue
			tmp := filepath.Join(spool(e), "tmp", strconv.Itoa(n))
			text := append([]byte(head), l.message(n)...)
			if err := os.WriteFile(tmp, text, 0o600); err != nil {
				return err
			}
			if err := os.Rename(tmp, filepath.Join(spool(e), "queue", strconv.Itoa(n))); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(spool(e), "trigger"), []byte{0}, 0o600)
		},
	}
}

// msmtpqPeer is the queue script of msmtp: one message after the other, each in a process and a connection.
func msmtpqPeer() peer {
	queue := func(e *env) string { return filepath.Join(e.dir, "msmtp") }
	return peer{
		slow: 50,
		fill: func(e *env, l load) error {
			if err := l.write(queue(e), 0o600, func(n int) string { return fmt.Sprintf("%06d.mail", n) },
				""); err != nil {
				return err
			}
			for n := range l.n {
				args := fmt.Sprintf("-f %s --host=127.0.0.1 --port=%s -- %s\n", sender, e.port(), recipient)
				if err := os.WriteFile(filepath.Join(queue(e), fmt.Sprintf("%06d.msmtp", n)), []byte(args),
					0o600); err != nil {
					return err
				}
			}
			return nil
		},
		release: func(e *env) error {
			const run = "MSMTPQ_Q=$0 MSMTPQ_LOG= EMAIL_CONN_TEST=x EMAIL_QUEUE_QUIET=t exec " +
				"/usr/libexec/msmtp/msmtpq/msmtpq --q-mgmt -r"
			return e.startSmall("", "", "sh", "-c", run, queue(e))
		},
	}
}

// startSmall writes a configuration file into the directory of unpacked packages and starts args over it.
func (e *env) startSmall(file, text string, args ...string) error {
	root := e.conf.peersRoot
	if _, err := os.Stat(filepath.Join(root, "usr")); err != nil {
		return fmt.Errorf("no unpacked packages (see peers.sh): %w", err)
	}
	if file != "" {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return e.start(root, args...)
}

// writeOpen writes a file that every user may change, in spite of the umask: dma changes to a user of its own, and
// skips read-only files.
func writeOpen(name string, text []byte) error {
	if err := os.WriteFile(name, text, 0o600); err != nil {
		return err
	}
	return os.Chmod(name, 0o666)
}
