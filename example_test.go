package spoolgore_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jhillyerd/enmime/v2"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// quiet keeps the log of the examples out of their output.
var quiet = slog.New(slog.DiscardHandler)

// tempSpool makes a spool directory for an example.
func tempSpool() (dir string, remove func()) {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		log.Fatal(err)
	}
	return dir, func() { os.RemoveAll(dir) }
}

// printer is a Transport of a few lines: it prints the mail that it gets, and accepts all recipients except nobody@.
type printer struct{}

func (printer) Deliver(ctx context.Context, t *spoolgore.Transaction) []spoolgore.Result {
	results := make([]spoolgore.Result, len(t.To))
	for i, to := range t.To {
		if strings.HasPrefix(to, "nobody@") {
			results[i].Err = &spoolgore.DeliveryError{Fault: spoolgore.FaultRecipient, Permanent: true, Err: fmt.Errorf("%s: no such user", to)}
			continue
		}
		text, err := io.ReadAll(t.Content())
		if err == nil {
			_, body, _ := strings.Cut(string(text), "\r\n\r\n")
			fmt.Printf("%s -> %s: %s\n", t.From, to, strings.TrimSpace(body))
		}
		results[i].Err = err
	}
	return results
}

func Example() {
	dir, remove := tempSpool()
	defer remove()
	ctx, stop := context.WithTimeout(context.Background(), 50*time.Millisecond) // a service runs until it is stopped
	defer stop()
	err := spoolgore.New(dir, spoolgore.Options{SMTPAddr: "localhost:25", Logger: quiet}).Run(ctx)
	fmt.Println(err)
	// Output: <nil>
}

func ExampleSpool_Run() {
	dir, remove := tempSpool()
	defer remove()
	ctx, stop := context.WithCancel(context.Background())
	spool := spoolgore.New(dir, spoolgore.Options{
		Transport: printer{}, // a real program sets SMTPAddr: "mail.example.com:587"
		Logger:    quiet,
		OnEvent: func(ev spoolgore.Event) {
			if ev.Kind == spoolgore.EventSent {
				stop()
			}
		},
	})
	text := "From: app@example.com\nTo: ann@example.org\nSubject: hello\n\nHello Ann!\n"
	if err := spool.Send("app@example.com", []string{"ann@example.org"}, []byte(text)); err != nil {
		log.Fatal(err)
	}
	fmt.Println(spool.Run(ctx))
	// Output:
	// app@example.com -> ann@example.org: Hello Ann!
	// <nil>
}

func ExampleSpool_Put() {
	dir, remove := tempSpool()
	defer remove()
	spool := spoolgore.New(dir, spoolgore.Options{Transport: printer{}, Logger: quiet})
	ctx := context.Background()
	name, err := spool.Put(ctx, spoolgore.Envelope{
		From:   "app@example.com",
		To:     []string{"ann@example.org"},
		Expire: time.Now().Add(10 * time.Minute), // the code is of no use tomorrow
	}, strings.NewReader("From: app@example.com\nTo: ann@example.org\nSubject: your code\n\n123456\n"))
	fmt.Println(strings.HasSuffix(name, ".eml"), err) // the message is on disk
	fmt.Println(spool.Drain(ctx))
	// Output:
	// true <nil>
	// app@example.com -> ann@example.org: 123456
	// <nil>
}

func ExampleSpool_Send() {
	dir, remove := tempSpool()
	defer remove()
	spool := spoolgore.New(dir, spoolgore.Options{Transport: printer{}, Logger: quiet})
	err := enmime.Builder().
		From("The App", "app@example.com").
		To("Ann", "ann@example.org").
		BCC("", "archive@example.com").
		Subject("Report").
		Text([]byte("All is well.")).
		Send(spool) // returns as soon as the message is on disk
	fmt.Println(err)
	fmt.Println(spool.Drain(context.Background()))
	// Output:
	// <nil>
	// app@example.com -> ann@example.org: All is well.
	// app@example.com -> archive@example.com: All is well.
	// <nil>
}

func ExampleSpool_Drain() {
	dir, remove := tempSpool()
	defer remove()
	// Any program may have written the file.
	text := "From: cron@example.com\nTo: ann@example.org\nSubject: backup\n\nDone.\n"
	if err := os.WriteFile(dir+"/backup.eml", []byte(text), 0o600); err != nil {
		log.Fatal(err)
	}
	spool := spoolgore.New(dir, spoolgore.Options{Transport: printer{}, Logger: quiet})
	fmt.Println(spool.Drain(context.Background()))
	// Output:
	// cron@example.com -> ann@example.org: Done.
	// <nil>
}

func ExampleTransport() {
	// A Transport needs the method Deliver only, as printer above. A message that it refuses for good goes to failed/.
	dir, remove := tempSpool()
	defer remove()
	spool := spoolgore.New(dir, spoolgore.Options{Transport: printer{}, Logger: quiet, NoReports: true})
	to := []string{"nobody@example.org", "ann@example.org"}
	if err := spool.Send("app@example.com", to, []byte("Subject: hello\n\nHello!\n")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(spool.Drain(context.Background()))
	failed, err := os.ReadDir(dir + "/failed")
	fmt.Println(len(failed), "files in failed/,", err) // the message, and why
	// Output:
	// app@example.com -> ann@example.org: Hello!
	// <nil>
	// 2 files in failed/, <nil>
}

// A function can be a Transport. This one appends mail to a mailbox file for each recipient.
func ExampleTransportFunc() {
	dir, remove := tempSpool()
	defer remove()
	mailboxes, remove := tempSpool()
	defer remove()
	deliver := func(_ context.Context, t *spoolgore.Transaction) []spoolgore.Result {
		results := make([]spoolgore.Result, len(t.To))
		for i, to := range t.To {
			text, err := io.ReadAll(t.Content())
			if err == nil {
				err = os.WriteFile(mailboxes+"/"+to, text, 0o600)
			}
			results[i].Err = err // an error that is no *DeliveryError: the recipient is tried again later
		}
		return results
	}
	spool := spoolgore.New(dir, spoolgore.Options{Transport: spoolgore.TransportFunc(deliver), Logger: quiet})
	if err := spool.Send("app@example.com", []string{"ann@example.org"}, []byte("Subject: hello\n\nHello!\n")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(spool.Drain(context.Background()))
	text, err := os.ReadFile(mailboxes + "/ann@example.org")
	fmt.Println(strings.Contains(string(text), "Subject: hello\r\n"), err)
	// Output:
	// <nil>
	// true <nil>
}

// An application wraps the SMTP transport: it refuses mail to strangers, and adds a header field to all other mail.
func ExampleNewSMTP() {
	dir, remove := tempSpool()
	defer remove()
	relay := &smtptest.Relay{} // a fake relay, for Dial; without Dial, SMTPAddr is dialed
	smtp, err := spoolgore.NewSMTP(spoolgore.Options{SMTPAddr: "mail.example.com:25", Dial: relay.Dial, Logger: quiet})
	if err != nil {
		log.Fatal(err)
	}
	deliver := func(ctx context.Context, t *spoolgore.Transaction) []spoolgore.Result {
		for _, to := range t.To {
			if !strings.HasSuffix(to, "@example.org") {
				err := &spoolgore.DeliveryError{Fault: spoolgore.FaultMessage, Permanent: true, Err: fmt.Errorf("%s is a stranger", to)}
				return slices.Repeat([]spoolgore.Result{{Err: err}}, len(t.To))
			}
		}
		const field = "X-Checked: yes\r\n"
		checked := *t // the Transaction itself is not changed
		checked.Size += int64(len(field))
		checked.Content = func() io.Reader { return io.MultiReader(strings.NewReader(field), t.Content()) }
		return smtp.Deliver(ctx, &checked)
	}
	spool := spoolgore.New(dir, spoolgore.Options{
		Transport: spoolgore.TransportFunc(deliver), Logger: quiet, NoReports: true,
		OnEvent: func(ev spoolgore.Event) {
			switch ev.Kind {
			case spoolgore.EventSent:
				fmt.Println(ev.Relay, "replied:", ev.Reply)
			case spoolgore.EventFailed:
				fmt.Println(ev.Err)
			}
		},
	})
	for _, to := range []string{"ann@example.org", "mallory@example.net"} {
		if err := spool.Send("app@example.com", []string{to}, []byte("Subject: hello\n\nHello!\n")); err != nil {
			log.Fatal(err)
		}
		fmt.Println(spool.Drain(context.Background()))
	}
	if closer, ok := smtp.(io.Closer); ok {
		closer.Close() // ends the connections
	}
	field, _, _ := strings.Cut(string(relay.Messages()[0].Data), "\r\n")
	fmt.Println(field)
	// Output:
	// mail.example.com:25 replied: 250 2.0.0 accepted
	// <nil>
	// mallory@example.net is a stranger
	// <nil>
	// X-Checked: yes
}

func ExampleEvent() {
	dir, remove := tempSpool()
	defer remove()
	var kept string
	spool := spoolgore.New(dir, spoolgore.Options{
		Transport: printer{},
		Logger:    quiet,
		NoReports: true, // otherwise the sender gets a report (RFC 3464)
		OnEvent: func(ev spoolgore.Event) {
			switch ev.Kind {
			case spoolgore.EventSent:
				fmt.Println("sent to", ev.To)
			case spoolgore.EventFailed:
				fmt.Printf("given up, the fault is the %s's: %v\n", ev.Fault, ev.Err)
			case spoolgore.EventKept:
				kept = ev.Path
			}
		},
	})
	if err := spool.Send("app@example.com", []string{"nobody@example.org"}, []byte("Subject: hello\n\nHello!\n")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(spool.Drain(context.Background()))
	text, err := os.ReadFile(kept + ".json") // the why-file, beside the message
	if err != nil {
		log.Fatal(err)
	}
	var why spoolgore.Failure
	fmt.Println(json.Unmarshal(text, &why), why.Reason, why.To[0].History.Last.Status)
	// Output:
	// given up, the fault is the recipient's: nobody@example.org: no such user
	// <nil>
	// <nil> nobody@example.org: nobody@example.org: no such user 5.0.0
}

func ExampleSpool_Status() {
	dir, remove := tempSpool()
	defer remove()
	later := transport(func(t *spoolgore.Transaction) error { return fmt.Errorf("mailbox full") })
	spool := spoolgore.New(dir, spoolgore.Options{Transport: later, Logger: quiet})
	if err := spool.Send("app@example.com", []string{"ann@example.org"}, []byte("Subject: hello\n\nHello!\n")); err != nil {
		log.Fatal(err)
	}
	if err := spool.Drain(context.Background()); err != nil {
		log.Fatal(err)
	}
	for _, message := range spool.Status() {
		for _, r := range message.To {
			fmt.Println(r.Address, "waits, attempts:", r.Attempts, "error:", r.Error)
		}
	}
	// Output: ann@example.org waits, attempts: 1 error: mailbox full
}

// Status is about messages, Health is about relays and the run. The relay here cannot be reached.
func ExampleSpool_Health() {
	dir, remove := tempSpool()
	defer remove()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	tried := make(chan bool, 100)
	spool := spoolgore.New(dir, spoolgore.Options{
		SMTPAddr: "mail.example.com:25", Logger: quiet,
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, fmt.Errorf("no route to host") },
		OnEvent: func(ev spoolgore.Event) {
			if ev.Kind == spoolgore.EventDeferred {
				tried <- true
			}
		},
	})
	if err := spool.Send("app@example.com", []string{"ann@example.org"}, []byte("Subject: hello\n\nHello!\n")); err != nil {
		log.Fatal(err)
	}
	go func() { done <- spool.Run(ctx) }()
	<-tried
	h := spool.Health()
	fmt.Println("running:", h.Running, "files:", h.Files)
	for _, relay := range h.Relays {
		fmt.Println(relay.Name, "rests:", relay.Trouble)
	}
	stop()
	fmt.Println(<-done)
	// Output:
	// running: true files: 1
	// mail.example.com:25 rests: dial: no route to host
	// <nil>
}

// A wrong relay is corrected while the spool is run: waiting mail goes to the new relay at once.
func ExampleSpool_Reconfigure() {
	dir, remove := tempSpool()
	defer remove()
	ctx, stop := context.WithCancel(context.Background())
	done, sent := make(chan error), make(chan string, 1)
	opts := spoolgore.Options{
		Logger: quiet,
		Transport: transport(func(*spoolgore.Transaction) error {
			// no attempt is counted, and the relay pauses
			return &spoolgore.DeliveryError{Fault: spoolgore.FaultRelay, Err: fmt.Errorf("nobody is here")}
		}),
		OnEvent: func(ev spoolgore.Event) {
			if ev.Kind == spoolgore.EventSent {
				sent <- ev.To
			}
		},
	}
	spool := spoolgore.New(dir, opts)
	if err := spool.Send("app@example.com", []string{"ann@example.org"}, []byte("Subject: hello\n\nHello!\n")); err != nil {
		log.Fatal(err)
	}
	go func() { done <- spool.Run(ctx) }()
	opts.Attempts = -1
	fmt.Println(spool.Reconfigure(opts)) // the options have not changed
	opts.Attempts, opts.Transport = 0, transport(func(*spoolgore.Transaction) error { return nil })
	fmt.Println(spool.Reconfigure(opts))
	fmt.Println("sent to", <-sent)
	stop()
	fmt.Println(<-done)
	// Output:
	// spoolgore: reconfigure: option Attempts is negative
	// <nil>
	// sent to ann@example.org
	// <nil>
}

// transport makes a Transport of a function.
type transport func(t *spoolgore.Transaction) error

func (f transport) Deliver(ctx context.Context, t *spoolgore.Transaction) []spoolgore.Result {
	results := make([]spoolgore.Result, len(t.To))
	for i := range results {
		results[i].Err = f(t)
	}
	return results
}

// A person edits the status file: Pause, edit, Reload, Resume. Flush then tries waiting mail at once.
func ExampleSpool_Pause() {
	dir, remove := tempSpool()
	defer remove()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error)
	deferred := make(chan bool, 1)
	full := transport(func(*spoolgore.Transaction) error { return fmt.Errorf("mailbox full") })
	spool := spoolgore.New(dir, spoolgore.Options{Logger: quiet, Transport: full, OnEvent: func(ev spoolgore.Event) {
		if ev.Kind == spoolgore.EventDeferred {
			deferred <- true
		}
	}})
	if err := spool.Send("app@example.com", []string{"ann@example.org"}, []byte("Subject: hello\n\nHello!\n")); err != nil {
		log.Fatal(err)
	}
	go func() { done <- spool.Run(ctx) }()
	<-deferred
	spool.Pause()
	text, err := os.ReadFile(dir + "/.spoolgore.js")
	if err != nil {
		log.Fatal(err)
	}
	edited := strings.Replace(string(text), `"Status": 0`, `"Status": 2`, 1) // Ann got the text by telephone
	if err := os.WriteFile(dir+"/.spoolgore.js", []byte(edited), 0o600); err != nil {
		log.Fatal(err)
	}
	fmt.Println(spool.Reload())
	spool.Resume()
	spool.Flush()
	fmt.Println(len(spool.Status()), "messages in the spool")
	stop()
	fmt.Println(<-done)
	// Output:
	// <nil>
	// 0 messages in the spool
	// <nil>
}

// A login at Google or Microsoft uses a token source of golang.org/x/oauth2. Here it is a function.
func ExampleSMTP_tokenSource() {
	source := func() (string, error) { // t, err := tokenSource.Token(); return t.AccessToken, err
		return "ya29.token", nil
	}
	_, err := spoolgore.NewSMTP(spoolgore.Options{
		SMTPAddr: "smtp.gmail.com:587",
		SMTP:     spoolgore.SMTP{User: "app@example.com", TokenSource: source, TLS: spoolgore.TLSStartTLS},
	})
	fmt.Println(err)
	// Output: <nil>
}

// A relay with a certificate of a private authority, TLS from the first octet, and TLS 1.3 at least.
func ExampleSMTP_tls() {
	authorities := x509.NewCertPool() // authorities.AppendCertsFromPEM(pem)
	_, err := spoolgore.NewSMTP(spoolgore.Options{
		SMTPAddr:  "mail.internal.example:465",
		TLSConfig: &tls.Config{RootCAs: authorities, ServerName: "mail.internal.example"},
		SMTP:      spoolgore.SMTP{TLS: spoolgore.TLSImplicit, TLSMin: "1.3"},
	})
	fmt.Println(err)
	// Output: <nil>
}

// The newsletter goes through a relay of its own. Mail to colleagues goes straight to their mail server. All other mail
// goes to SMTPAddr, at most 14 messages a second.
func ExampleRoute() {
	rate, err := spoolgore.ParseRate("14/s,50000/d")
	if err != nil {
		log.Fatal(err)
	}
	_, err = spoolgore.NewSMTP(spoolgore.Options{
		SMTPAddr: "mail.example.com:587",
		Rate:     rate,
		Routes: []spoolgore.Route{
			{Sender: "@news.example.com", SMTPAddr: "smtps://smtp.newsletter.example"},
			{Sender: "to:@example.com", SMTPAddr: "lmtp+unix:///run/lmtp"},
		},
	})
	fmt.Println(err)
	// Output: <nil>
}

// A support tool lists failed messages, corrects an address and tries again.
func ExampleSpool_Messages() {
	dir, remove := tempSpool()
	defer remove()
	spool := spoolgore.New(dir, spoolgore.Options{Transport: printer{}, Logger: quiet, NoReports: true})
	ctx := context.Background()
	env := spoolgore.Envelope{From: "app@example.com", To: []string{"nobody@example.org"}, ID: "order-17"}
	if _, err := spool.Put(ctx, env, strings.NewReader("Subject: hello\n\nHello!\n")); err != nil {
		log.Fatal(err)
	}
	fmt.Println(spool.Drain(ctx))
	for m, err := range spool.Messages(spoolgore.Filter{States: []string{"failed"}}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.ID, m.Reason)
		fmt.Println(spool.Redirect(m.Place, m.Name, "ann@example.org"))
	}
	fmt.Println(spool.Drain(ctx))
	// Output:
	// <nil>
	// order-17 nobody@example.org: nobody@example.org: no such user
	// <nil>
	// app@example.com -> ann@example.org: Hello!
	// <nil>
}

// A server puts mail in its handlers. To stop, it first ends the handlers, and then Run finishes its transactions.
func Example_server() {
	dir, remove := tempSpool()
	defer remove()
	sent := make(chan bool, 1)
	spool := spoolgore.New(dir, spoolgore.Options{
		Transport: printer{}, // a real program sets SMTPAddr: "mail.example.com:587"
		Logger:    quiet,
		OnEvent: func(ev spoolgore.Event) {
			if ev.Kind == spoolgore.EventSent {
				sent <- true
			}
		},
	})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		env := spoolgore.Envelope{From: "app@example.com", To: []string{r.FormValue("to")}, ID: r.FormValue("order")}
		text := "From: app@example.com\nSubject: your order\n\nIt is on its way.\n"
		_, err := spool.Put(r.Context(), env, strings.NewReader(text))
		switch {
		case err == nil, errors.Is(err, spoolgore.ErrDuplicate):
			w.WriteHeader(http.StatusAccepted) // the message is on disk: it will be sent, once
		case errors.Is(err, spoolgore.ErrEnvelope):
			http.Error(w, err.Error(), http.StatusBadRequest)
		default:
			http.Error(w, "try again", http.StatusServiceUnavailable)
		}
	})
	ctx, stop := context.WithCancel(context.Background()) // signal.NotifyContext in a real program
	ended := make(chan error)
	go func() { ended <- spool.Run(ctx) }()

	server := httptest.NewServer(handler) // http.Server in a real program
	for _, to := range []string{"no address", "ann@example.org"} {
		resp, err := http.PostForm(server.URL, url.Values{"to": {to}, "order": {"17"}})
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		fmt.Println(resp.StatusCode)
	}
	server.Close() // http.Server.Shutdown in a real program: no more requests
	<-sent         // not needed in a real program: waiting mail is sent after the next start
	stop()
	fmt.Println(<-ended)
	// Unordered output:
	// 400
	// 202
	// app@example.com -> ann@example.org: It is on its way.
	// <nil>
}
