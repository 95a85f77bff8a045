//go:build linux

package main

import (
	"bufio"
	"fmt"
	"net/textproto"
	"strings"
	"sync"
	"sync/atomic"
)

// injectors is how many connections a load is submitted over.
const injectors = 16

// inject submits a load by SMTP, before the measurement.
func inject(addr string, l load) error {
	if l.n == 0 {
		conn, err := dial(addr) // waits for the server
		if err == nil {
			conn.Close()
		}
		return err
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, injectors)
	for range min(injectors, l.n) {
		wg.Go(func() { errs <- injectSome(addr, l, &next) })
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			return fmt.Errorf("submit: %w", err)
		}
	}
	return nil
}

// injectSome submits the messages of next over one connection.
func injectSome(addr string, l load, next *atomic.Int64) error {
	conn, err := dial(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	r, w := textproto.NewReader(bufio.NewReader(conn)), bufio.NewWriter(conn)
	if err := expect(r, 220); err != nil {
		return err
	}
	if err := say(w, r, "EHLO bench.test\r\n", 250); err != nil {
		return err
	}
	for n := int(next.Add(1)) - 1; n < l.n; n = int(next.Add(1)) - 1 {
		envelope := "MAIL FROM:<" + sender + ">\r\nRCPT TO:<" + recipient + ">\r\nDATA\r\n"
		if err := say(w, r, envelope, 250, 250, 354); err != nil {
			return err
		}
		text := strings.ReplaceAll(string(l.message(n)), "\n", "\r\n") // no line starts with a dot
		if err := say(w, r, text+".\r\n", 250); err != nil {
			return err
		}
	}
	return say(w, r, "QUIT\r\n", 221)
}

// say sends text and expects an answer with each of codes.
func say(w *bufio.Writer, r *textproto.Reader, text string, codes ...int) error {
	w.WriteString(text)
	if err := w.Flush(); err != nil {
		return err
	}
	return expect(r, codes...)
}

func expect(r *textproto.Reader, codes ...int) error {
	for _, code := range codes {
		if _, _, err := r.ReadResponse(code); err != nil {
			return err
		}
	}
	return nil
}
