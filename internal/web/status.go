package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
)

// status is the answer of /status. Names and meanings are fixed, see docs/monitoring.md.
type status struct {
	Dir       string              `json:"dir"`
	Version   string              `json:"version"`
	Started   time.Time           `json:"started"`
	Now       time.Time           `json:"now"`
	Healthy   bool                `json:"healthy"`
	Problems  []string            `json:"problems"`
	Paused    bool                `json:"paused"`
	Trouble   string              `json:"trouble,omitempty"`
	Files     int                 `json:"files"`
	InFlight  int                 `json:"inFlight"`
	Sent      uint64              `json:"sent"`
	Deferred  uint64              `json:"deferred"`
	Failed    uint64              `json:"failed"`
	PerMinute float64             `json:"perMinute"`
	RateWait  time.Time           `json:"rateWait,omitzero"`
	RateWaits uint64              `json:"rateWaits"`
	Redirect  string              `json:"redirect,omitempty"` // recipient of all mail
	Allow     []string            `json:"allow,omitempty"`    // patterns of the only recipients
	Relays    []relayStatus       `json:"relays"`
	Queue     map[mailq.State]int `json:"queue,omitempty"` // nil: not known yet
	Waiting   int                 `json:"waiting"`
	QueuedAt  time.Time           `json:"queuedAt"`
	Counting  bool                `json:"counting,omitempty"` // the figures from here on are not known yet
	Bytes     int64               `json:"bytes"`
	Oldest    time.Time           `json:"oldest,omitzero"`
	Reasons   []group             `json:"reasons"`
	Domains   []group             `json:"domains"`
	Estimated bool                `json:"estimated,omitempty"` // the counts of Domains
}

type relayStatus struct {
	Name        string    `json:"name"`
	Senders     string    `json:"senders,omitempty"`
	Connections int       `json:"connections"`
	Limit       int       `json:"limit"`
	Slowed      time.Time `json:"slowed,omitzero"`
	Pace        float64   `json:"pace,omitempty"`
	Reply       string    `json:"reply,omitempty"`
	Learnt      []string  `json:"learnt,omitempty"`
	Trouble     string    `json:"trouble,omitempty"`
	Since       time.Time `json:"since,omitzero"`
	RestsUntil  time.Time `json:"restsUntil,omitzero"`
}

// status answers with how all is.
func (s *Server) status(w http.ResponseWriter, req *http.Request) {
	now := time.Now()
	r := s.opts.Collector.Last()
	st := status{
		Dir: pathOf(s), Version: s.opts.Version, Started: s.opts.Collector.Started(), Now: now,
		Paused: r.Paused, Trouble: r.Trouble,
		Files: r.Files, InFlight: r.InFlight, Sent: r.Sent, Deferred: r.Deferred, Failed: r.Failed,
		PerMinute: r.PerMinute,
		RateWait:  r.RateWait, RateWaits: r.RateWaits, Relays: []relayStatus{},
		QueuedAt: now, Reasons: []group{}, Domains: []group{},
	}
	st.Redirect, st.Allow = r.Rewrite.Redirect, r.Rewrite.Allow
	for _, relay := range r.Relays {
		relay.Trouble, relay.Reply = console.Escape(relay.Trouble), console.Escape(relay.Reply)
		st.Relays = append(st.Relays, relayStatus(relay))
	}
	problems, _ := s.healthy(now)
	st.Healthy = len(problems) == 0
	problems = append(problems, st.count(req.Context(), s.table)...)
	if counts := s.counts(&r); counts != nil {
		st.Queue, st.Waiting = counts, sumQueued(counts)
	}
	st.Problems = []string{} // an empty list instead of null
	for _, text := range problems {
		st.Problems = append(st.Problems, console.Escape(text))
	}
	st.Trouble = console.Escape(st.Trouble)
	answer(w, st)
}

// pathOf returns the directory of the spool, or the name of the queue.
func pathOf(s *Server) string {
	if s.opts.Queue != nil {
		return s.opts.Queue.Path()
	}
	return s.dir.Path()
}

// statusTime is how long a first answer waits for the numbers of a large spool.
const statusTime = time.Second

// count adds the counts of messages and returns the problems.
func (st *status) count(ctx context.Context, t *table) (problems []string) {
	r, err := t.get(ctx, false, statusTime)
	if errors.Is(err, errReading) {
		st.Counting = true
		return nil
	}
	if err != nil {
		st.Healthy = false
		return []string{"the spool cannot be read: " + err.Error()}
	}
	if r.trouble != "" {
		problems = []string{"the status file cannot be read, so little is known of the messages: " + r.trouble}
	}
	if r.aside != "" {
		problems = append(problems, "the status file was damaged and set aside as "+r.aside+
			": release or delete the messages in hold/, then remove that file")
	}
	st.Queue = messagesOf(r.Counts)
	st.QueuedAt, st.Waiting, st.Bytes, st.Oldest = r.at, r.Queue.Messages, r.Queue.Bytes, r.Queue.Oldest
	st.Reasons, st.Domains, st.Estimated = r.reasons, r.domains, r.estimated
	return problems
}

// history answers with the remembered minutes, in columns; with ?after=UNIXTIME with the later minutes only.
func (s *Server) history(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.ParseInt(r.FormValue("after"), 10, 64) // zero if there is no number
	h := struct {
		At       []int64  `json:"at"`
		Files    []int    `json:"files"`
		Sent     []uint64 `json:"sent"`
		Deferred []uint64 `json:"deferred"`
		Failed   []uint64 `json:"failed"`
	}{At: []int64{}}
	for _, m := range s.opts.Collector.Past() {
		if m.At.Unix() > after {
			h.At, h.Files = append(h.At, m.At.Unix()), append(h.Files, m.Files)
			h.Sent, h.Deferred, h.Failed = append(h.Sent, m.Sent), append(h.Deferred, m.Deferred), append(h.Failed,
				m.Failed)
		}
	}
	answer(w, h)
}

// healthz answers 200 if the spool is healthy, else 503. The reasons are only for requests with the token.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	wrong, _ := s.healthy(time.Now())
	s.tell(w, r, wrong)
}

// livez is healthz for the daemon alone: it fails if a restart may help.
func (s *Server) livez(w http.ResponseWriter, r *http.Request) {
	wrong, dead := s.healthy(time.Now())
	if !dead {
		wrong = nil
	}
	s.tell(w, r, wrong)
}

func (s *Server) tell(w http.ResponseWriter, r *http.Request, wrong []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if len(wrong) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	if s.guard.none || r.Header.Get("Authorization") != "" && s.guard.knows(r) {
		fmt.Fprintln(w, strings.Join(wrong, "\n"))
		return
	}
	fmt.Fprintln(w, "not well; with the token this says why")
}
