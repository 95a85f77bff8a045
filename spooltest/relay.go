package spooltest

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// Relay is an SMTP relay on a pipe: spoolgore.Options.Dial is Relay.Dial. The zero value accepts every message and
// offers PIPELINING, 8BITMIME and SIZE. Set the fields before the first connection.
type Relay struct {
	// Reply returns the reply to a command: verb is CONNECT (the greeting), EHLO, MAIL, RCPT, DATA, END (the end of the
	// message), RSET, QUIT or another one, arg the address of MAIL and RCPT, or the rest of the line. Empty: the usual
	// reply. "close" closes the connection, "hang" sends no more replies. Nil: the usual replies. Called by the
	// goroutine of the connection.
	Reply func(verb, arg string) string
	// Extensions are the keywords of EHLO; nil: those above.
	Extensions []string

	once  sync.Once
	relay smtptest.Relay
	mu    sync.Mutex
	times []time.Time // of the messages, in order
}

// Dial connects to the relay, whatever the address.
func (r *Relay) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	r.once.Do(func() {
		r.relay.Ext = r.Extensions
		if r.relay.Ext == nil {
			r.relay.Ext = []string{"PIPELINING", "8BITMIME", "SIZE"}
		}
		r.relay.Reply = r.reply
	})
	return r.relay.Dial(ctx, network, addr)
}

// reply returns the scripted reply and notes the times of messages.
func (r *Relay) reply(verb, arg string) (text string) {
	if r.Reply != nil {
		text = r.Reply(verb, arg)
	}
	if verb == "END" && (text == "" || text[0] == '2') {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.times = append(r.times, time.Now())
	}
	return text
}

// Sent returns the messages that the relay accepted, in order.
func (r *Relay) Sent() []Mail {
	r.mu.Lock()
	times := slices.Clone(r.times)
	r.mu.Unlock()
	var all []Mail
	for i, m := range r.relay.Messages() {
		mail := Mail{Envelope: spoolgore.Envelope{From: m.From, To: m.To}, Data: m.Data}
		if i < len(times) {
			mail.Time = times[i]
		}
		all = append(all, mail)
	}
	return all
}

// Commands returns the command lines of all connections, in order.
func (r *Relay) Commands() []string { return r.relay.Commands() }
