package sink

import (
	"net"
	"sync/atomic"
	"time"
)

// An outbox sends the answers of one connection, each when its time has come. As over a long line, what is said
// meanwhile is heard: its answer has its own time.
type outbox struct {
	conn    net.Conn
	server  *Server
	pending atomic.Int64 // answers not yet sent
	unheard atomic.Bool  // something was sent, and the client has not spoken since
	late    chan answer  // nil: nothing is ever late
	done    chan struct{}
}

type answer struct {
	text  []byte
	ended int64 // messages it answers
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

// send sends text, or has it sent when it is due. It answers ended whole messages. False: the client is gone.
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

// run sends what is late, in order.
func (o *outbox) run() {
	defer close(o.done)
	for a := range o.late {
		time.Sleep(time.Until(a.at))
		o.pending.Add(-1)
		o.write(a.text, a.ended) // a client that is gone is noticed where it is read from
	}
}

func (o *outbox) write(text []byte, ended int64) bool {
	o.unheard.Store(true) // before the client can have read it
	if ended > 0 {
		o.server.lastAnswer.Store(time.Now().UnixNano())
		o.server.held.Add(-ended)
	}
	_, err := o.conn.Write(text)
	return err == nil
}

// answered reports, once, that everything the client had said was answered: what it says now, it says after a round
// trip.
func (o *outbox) answered() bool {
	return o.pending.Load() == 0 && o.unheard.Swap(false)
}

// close sends what is left and returns.
func (o *outbox) close() {
	if o.late != nil {
		close(o.late)
		<-o.done
	}
}
