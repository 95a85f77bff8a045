package shim

import (
	"io"
	"os"
	"os/signal"
	"syscall"
)

// interruptible returns a reader of f that fails on a signal to end the program, so that the caller removes the
// unfinished message. After the end of f the signals have no effect: the message is about to be accepted. SIGPIPE is
// included: a closed standard error must not end the process after the message is accepted.
func interruptible(f *os.File) io.Reader {
	r := &signalReader{full: make(chan piece), free: make(chan []byte, 2), signals: make(chan os.Signal, 1)}
	for range 2 {
		r.free <- make([]byte, 64<<10)
	}
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE} {
		if !signal.Ignored(sig) { // nohup ignores SIGHUP
			signal.Notify(r.signals, sig)
		}
	}
	go r.fill(f)
	return r
}

// signalReader reads in a goroutine of its own: a read from a pipe cannot be interrupted.
type signalReader struct {
	full    chan piece
	free    chan []byte
	signals chan os.Signal
	current piece
	buf     []byte // buffer of current.data
	err     error  // result of all further reads
}

// piece is the outcome of one read.
type piece struct {
	data []byte
	err  error
}

func (r *signalReader) fill(f *os.File) {
	for buf := range r.free {
		n, err := f.Read(buf)
		r.full <- piece{buf[:n], err}
		if err != nil {
			return
		}
	}
}

// Read implements io.Reader.
func (r *signalReader) Read(p []byte) (int, error) {
	for len(r.current.data) == 0 && r.err == nil {
		if r.buf != nil {
			r.free <- r.buf
			r.buf = nil
		}
		select {
		case sig := <-r.signals:
			r.err = fail(exitTempFail, "interrupted (%v), nothing was accepted", sig)
			return 0, r.err
		case r.current = <-r.full:
			r.err = r.current.err
			r.buf = r.current.data[:cap(r.current.data)]
		}
	}
	if len(r.current.data) == 0 {
		return 0, r.err
	}
	n := copy(p, r.current.data)
	r.current.data = r.current.data[n:]
	return n, nil
}
