// Command server is an example of an HTTP server that sends mail: a handler puts a message into the spool and answers,
// and the spool delivers in the background. SIGTERM ends the server without the loss of a request or of a message.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/unbit/spoolgore"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	dir := flag.String("spool", "spool", "spool `directory`")
	relay := flag.String("relay", "127.0.0.1:25", "`relay` to send through")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", *addr)
	if err == nil {
		// WaitLock: in a rolling restart the new process takes requests while the old one still sends.
		opts := spoolgore.Options{SMTPAddr: *relay, Create: true, WaitLock: true}
		err = serve(ctx, listener, spoolgore.New(*dir, opts))
	}
	if err != nil {
		log.Fatal(err)
	}
}

// shutdownTime is the limit for running requests at the end.
const shutdownTime = 10 * time.Second

// serve answers requests and sends mail until ctx ends, or one of both fails.
func serve(ctx context.Context, listener net.Listener, spool *spoolgore.Spool) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	sending, endSending := context.WithCancel(context.WithoutCancel(ctx))
	defer endSending()
	sent := make(chan error, 1)
	go func() {
		err := spool.Run(sending)
		if err != nil {
			stop(err) // a bad option, no directory: the process had better end
		}
		sent <- err
	}()
	server := &http.Server{Handler: handler(spool), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			stop(err)
		}
	}()
	<-ctx.Done()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	err := server.Shutdown(grace) // first the requests, which put messages
	endSending()                  // then the transactions; mail that waits is sent by the next process
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(err, cause)
	}
	return errors.Join(err, <-sent)
}

// handler sends an invitation to the address in the form.
func handler(spool *spoolgore.Spool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		env := spoolgore.Envelope{
			From: "app@example.com", To: []string{r.FormValue("to")},
			ID: r.Header.Get("Idempotency-Key"), // a repeated request sends no second mail
		}
		text := fmt.Sprintf("From: app@example.com\nTo: %s\nSubject: Your invitation\n\nWelcome!\n", r.FormValue("to"))
		_, err := spool.Put(r.Context(), env, strings.NewReader(text))
		switch {
		case err == nil, errors.Is(err, spoolgore.ErrDuplicate):
			w.WriteHeader(http.StatusAccepted)
		case errors.Is(err, spoolgore.ErrEnvelope):
			http.Error(w, err.Error(), http.StatusBadRequest)
		default:
			w.Header().Set("Retry-After", "30")
			http.Error(w, "the mail cannot be taken now", http.StatusServiceUnavailable)
		}
	})
}
