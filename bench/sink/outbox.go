package sink

import (
	"net"
	"sync/atomic"
	"time"
)

// An outbox sends the answers of one connection, each at its time. As on a long line, later input is read meanwhile,
// and its answer has a time of its own.
type outbox struct {
	conn    net.Conn
	server  *Server
	pending atomic.Int64 // answers not yet sent
	unheard atomic.Bool  // something was sent, and the client has not spoken since
	late    chan answer  // nil: no delays
	done    chan struct{}
}

type answer struct {
	text  []byte
	ended int64 // messages that the text answers
	at    time.Time
}

func newOutbox(conn net.Conn, s *Server) *outbox {
	o := &outbox{conn: conn, server: s}
	if s.config.Latency > 0 || s.config.DataDelay > 0 {
		o.late, o.done = make(chan answer, 64), make(chan struct{})
		go o.run()
	}
	return o
}

// send sends text, or queues the text until its time. ended is the number of whole messages it answers. ok is false if
// the client is gone.
func (o *outbox) send(text []byte, ended int64) bool {
	raise(&o.server.heldPeak, o.server.held.Add(ended))
	if o.late == nil {
		return o.write(text, ended)
	}
	due := time.Now().Add(o.server.config.Latency)
	if ended > 0 {
		due = due.Add(o.server.config.DataDelay)
	}
	o.pending.Add(1)
	o.late <- answer{append([]byte(nil), text...), ended, due}
	return true
}

// run sends delayed answers, in order.
func (o *outbox) run() {
	defer close(o.done)
	for a := range o.late {
		time.Sleep(time.Until(a.at))
		o.pending.Add(-1)
		o.write(a.text, a.ended) // the reader notices a client that is gone
	}
}

func (o *outbox) write(text []byte, ended int64) bool {
	o.unheard.Store(true) // before the client can read the text
	if ended > 0 {
		o.server.lastAnswer.Store(time.Now().UnixNano())
		o.server.held.Add(-ended)
	}
	_, err := o.conn.Write(text)
	return err == nil
}

// answered reports, once, that all input was answered: the next input comes after a round trip.
func (o *outbox) answered() bool {
	return o.pending.Load() == 0 && o.unheard.Swap(false)
}

// close sends the queued answers and returns.
func (o *outbox) close() {
	if o.late != nil {
		close(o.late)
		<-o.done
	}
}
