package web

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/message"
)

const (
	pageSize = 50  // default number of rows
	mostRow  = 200 // at most
)

// shown is a message in a list.
type shown struct {
	Place      string      `json:"place"`   // "hold", "failed", or "" for the spool itself
	File       string      `json:"file"`    // name of the file in base64url, because a name may be no text
	Version    string      `json:"version"` // of the file
	Name       string      `json:"name"`
	State      mailq.State `json:"state"`
	From       string      `json:"from"`
	To         string      `json:"to"` // the first waiting recipient
	Recipients int         `json:"recipients"`
	Subject    string      `json:"subject"`
	Size       int64       `json:"size"`
	Since      time.Time   `json:"since"`
	Next       time.Time   `json:"next,omitzero"`
	Attempts   int         `json:"attempts"`
	Reason     string      `json:"reason"`
}

// messages answers with a page of the messages in the states ?state= with ?q= in sender, recipients, reason or name,
// and of the groups ?reason=, ?domain= and ?relay=. With ?brief=1 the files are not read. Waiting messages are sorted
// oldest first, failed messages newest first.
func (s *Server) messages(w http.ResponseWriter, r *http.Request) {
	states, err := mailq.ParseStates(r.FormValue("state"))
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	offset, limit := number(r, "offset", 0, mostRows), number(r, "limit", pageSize, mostRow)
	newest := slices.Equal(states, []mailq.State{mailq.Failed})
	if s.opts.Queue != nil {
		queued(s, w, r, PageQuery{
			States: states, Text: strings.TrimSpace(r.FormValue("q")), Reason: r.FormValue("reason"),
			Domain: r.FormValue("domain"), Relay: r.FormValue("relay"), Newest: newest, Offset: offset, Limit: limit,
		})
		return
	}
	t, err := s.table.get(r.Context(), true, answerTime-requestTime)
	if errors.Is(err, errReading) {
		refuse(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, "the spool cannot be read: "+err.Error())
		return
	}
	f := filter{states: states, text: strings.ToLower(strings.TrimSpace(r.FormValue("q")))}
	for _, kind := range []string{"reason", "domain", "relay"} {
		if name := r.FormValue(kind); name != "" {
			f.groups = append(f.groups, kind+" "+name)
		}
	}
	list := listing{Offset: offset, More: t.more, At: t.at, Rows: []shown{}}
	for i := range t.rows {
		at := &t.rows[i]
		if newest {
			at = &t.rows[len(t.rows)-1-i]
		}
		if !at.matches(&f) {
			continue
		}
		if list.Total >= offset && len(list.Rows) < limit {
			list.Rows = append(list.Rows, s.show(r.Context(), at, r.FormValue("brief") != ""))
		}
		list.Total++
	}
	answer(w, list)
}

// number is the value of a parameter, from zero to most.
func number(r *http.Request, name string, otherwise, most int) int {
	n, err := strconv.Atoi(r.FormValue(name))
	if err != nil || n < 0 {
		return otherwise
	}
	return min(n, most)
}

// show returns a row with the subject of the file and, without a record, its sender and recipients. With brief, it does
// not read the file.
func (s *Server) show(ctx context.Context, r *row, brief bool) shown {
	m := shown{
		Place: string(r.place), File: base64.RawURLEncoding.EncodeToString([]byte(r.name)), Version: versionOf(r.id),
		Name:  console.Escape(r.name),
		State: r.state, From: console.Escape(r.from), To: console.Escape(r.to), Recipients: int(r.recipients),
		Size:  r.id.Size,
		Since: r.since, Next: r.next, Attempts: int(r.attempts), Reason: console.Escape(r.reason),
	}
	if brief {
		return m
	}
	f, err := open(ctx, s, r.place, r.name, r.id.Size)
	if err != nil {
		return m
	}
	defer f.Close()
	at, ok := f.(io.ReaderAt)
	if !ok {
		return m
	}
	h, err := message.ReadHeader(at, r.id.Size)
	if err != nil {
		return m
	}
	m.Subject = subject(h.Get("Subject"))
	if m.From == "" && m.To == "" {
		a := h.Addresses()
		all := slices.Concat(a.To, a.Cc, a.Bcc)
		var to []string
		for _, rcpt := range all[:min(len(all), mostTo)] {
			to = append(to, rcpt.Addr)
		}
		m.From, m.To, m.Recipients = console.Escape(a.From), console.Escape(strings.Join(to, ", ")), len(all)
	}
	return m
}

// subject returns a decoded and shortened subject.
func subject(raw string) string {
	if len(raw) > 10*mostSubject {
		raw = raw[:10*mostSubject]
	}
	text := strings.Join(strings.Fields(wordDecoded(raw)), " ")
	if len(text) > mostSubject {
		text = strings.ToValidUTF8(text[:mostSubject], "") + "…"
	}
	return console.Escape(text)
}

const mostSubject = 200 // bytes
