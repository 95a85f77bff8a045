//go:build linux

package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/unbit/spoolgore/bench/sink"
)

// allExtensions are the default extensions of the sink: those of a good relay.
const allExtensions = "PIPELINING,CHUNKING,8BITMIME,SMTPUTF8,DSN,ENHANCEDSTATUSCODES,SIZE 104857600"

// runSink is the process of a sink. It writes its address on the first line of out, then an answer in JSON to each line
// of in, "summary" or "times".
func runSink(args []string, in io.Reader, out io.Writer) error {
	var c sink.Config
	fs := flag.NewFlagSet("sink", flag.ContinueOnError)
	addr := fs.String("addr", "127.0.0.1:0", "`address` to listen on")
	extensions := fs.String("ext", allExtensions, "EHLO `keywords`, separated by commas")
	fs.DurationVar(&c.Latency, "latency", 0, "what a round trip takes")
	fs.DurationVar(&c.DataDelay, "data-delay", 0, "what the answer to a message takes in addition")
	fs.BoolVar(&c.Refuse, "refuse", false, "refuse every recipient for now")
	fs.StringVar(&c.Reject, "reject", "", "refuse a recipient whose address begins with this `text`, for good")
	certFile := fs.String("tls", "", "TLS from the first byte, with a new certificate, which is written to this `file`")
	fs.IntVar(&c.Trouble.PerSecond, "per-second", 0, "messages in any second, further ones get 454; 0: no limit")
	fs.StringVar(&c.Trouble.Grey, "grey", "", "greylist a recipient whose address begins with this `text`")
	fs.DurationVar(&c.Trouble.GreyFor, "grey-for", 0, "how long it is refused")
	fs.StringVar(&c.Trouble.Poison, "poison", "",
		"refuse a message to a recipient that begins with this `text` after its content")
	fs.IntVar(&c.Trouble.PerConn, "per-connection", 0, "messages on a connection, the next gets 421; 0: no limit")
	fs.IntVar(&c.MaxConns, "max", 0, "connections at the same time, at most; 0: no limit")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *extensions != "" {
		c.Extensions = strings.Split(*extensions, ",")
	}
	l, err := net.Listen("tcp", *addr)
	if err != nil {
		return err
	}
	if *certFile != "" {
		config, err := newCertificate(*certFile)
		if err != nil {
			return err
		}
		l = tls.NewListener(l, config)
	}
	s := sink.New(c)
	go s.Serve(l)
	fmt.Fprintln(out, l.Addr())
	enc := json.NewEncoder(out)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		switch lines.Text() {
		case "times":
			enc.Encode(s.Times())
		default:
			enc.Encode(s.Summary())
		}
	}
	return nil
}

// newCertificate makes a self-signed certificate for this host, and writes it to file.
func newCertificate(file string) (*tls.Config, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, nil
}

// A sinkProc is a sink in a process of its own.
type sinkProc struct {
	addr string
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
}

func startSink(args []string) (*sinkProc, error) {
	s := &sinkProc{cmd: exec.Command("/proc/self/exe", append([]string{"sink"}, args...)...)}
	s.cmd.Stderr = os.Stderr
	in, err := s.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.in, s.out = in, bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the sink: %w", err)
	}
	addr, err := s.out.ReadString('\n')
	s.addr = strings.TrimSpace(addr)
	return s, err
}

// ask has the sink answer question into v.
func (s *sinkProc) ask(question string, v any) error {
	if _, err := fmt.Fprintln(s.in, question); err != nil {
		return fmt.Errorf("ask the sink: %w", err)
	}
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("ask the sink: %w", err)
	}
	return json.Unmarshal(line, v)
}

// await returns the summary of the sink when n different messages have been accepted and answered, or an error after
// limit. It asks at growing intervals, to take little time.
func (s *sinkProc) await(limit time.Duration, n int) (sink.Summary, error) {
	var sum sink.Summary
	pause := 5 * time.Millisecond
	for end := time.Now().Add(limit); ; time.Sleep(pause) {
		pause = min(pause*5/4, 100*time.Millisecond)
		if err := s.ask("summary", &sum); err != nil {
			return sum, err
		}
		if sum.Distinct >= int64(n) && sum.Held == 0 {
			return sum, nil
		}
		if time.Now().After(end) {
			return sum, fmt.Errorf("not done after %v: %d messages came, %d of them different", limit, sum.Messages,
				sum.Distinct)
		}
	}
}

// cpu returns the CPU time the sink has used.
func (s *sinkProc) cpu() time.Duration {
	p, _ := readProc(fmt.Sprintf("/proc/%d", s.cmd.Process.Pid))
	return p.own
}

func (s *sinkProc) end() {
	s.in.Close()
	s.cmd.Wait()
}
