package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/message"
	"github.com/unbit/spoolgore/internal/record"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// How much of a message is shown, in bytes, and to how many people at the same time.
const (
	mostRead    = 1 << 20 // of the file
	mostHeader  = 64 << 10
	mostText    = 256 << 10
	mostPeople  = 500 // recipients
	maxLooking  = 2
	lookingTime = 10 * time.Second // maximum wait for other requests that read a message
)

// inside is a message with its text and recipients.
type inside struct {
	shown
	People      []person     `json:"people"`
	MorePeople  int          `json:"morePeople"` // recipients beyond mostPeople
	Header      string       `json:"header"`
	Text        string       `json:"text"`
	Attachments []attachment `json:"attachments"`
	Part        bool         `json:"part"`              // only the beginning of the message was read
	Trouble     string       `json:"trouble,omitempty"` // why less is shown
	Enqueued    time.Time    `json:"enqueued"`
	MessageID   string       `json:"messageID"`
}

// person is a recipient.
type person struct {
	Address  string    `json:"address"`
	As       string    `json:"as"`    // To, Cc or Bcc
	State    string    `json:"state"` // waiting, sending, sent or failed
	Attempts int       `json:"attempts"`
	Next     time.Time `json:"next,omitzero"`
	Error    string    `json:"error,omitempty"`
	Relay    string    `json:"relay,omitempty"`
	Last     time.Time `json:"last,omitzero"`
	TLS      string    `json:"tls,omitempty"`
	Reply    string    `json:"reply,omitempty"`
	Tries    []try     `json:"tries,omitempty"`   // only after more than one attempt
	LeftOut  int       `json:"leftOut,omitempty"` // attempts after the first of Tries without a record
}

// try is a series of consecutive attempts with the same result.
type try struct {
	At    time.Time `json:"at"`
	Until time.Time `json:"until,omitzero"` // time of the last attempt of several
	Times int       `json:"times"`
	How   string    `json:"how"` // relay, and version of TLS
	Reply string    `json:"reply"`
}

type attachment struct {
	Name string `json:"name"`
	Type string `json:"type"`
	Size int    `json:"size"`
}

// message answers with the message ?file= of ?place=: header, text, and recipients.
func (s *Server) message(w http.ResponseWriter, r *http.Request) {
	place, name, err := target(r.FormValue("place"), r.FormValue("file"))
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	select {
	case s.looking <- struct{}{}:
		defer func() { <-s.looking }()
	case <-time.After(lookingTime):
		refuse(w, http.StatusServiceUnavailable, "others look into messages; try again")
		return
	case <-r.Context().Done():
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), answerTime-requestTime)
	defer cancel()
	e, err := find(ctx, s, place, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		refuse(w, http.StatusNotFound, "the message is not there any more: it was sent, moved or deleted")
		return
	case err != nil:
		refuse(w, http.StatusInternalServerError, console.Escape(err.Error()))
		return
	}
	at := rowOf(e)
	in := inside{shown: s.show(ctx, &at, false), People: people(e), Attachments: []attachment{}, Enqueued: e.Enqueued,
		MessageID: console.Escape(e.MessageID)}
	if more := len(in.People) - mostPeople; more > 0 {
		in.People, in.MorePeople = in.People[:mostPeople], more
	}
	if err := in.open(func() (io.ReadCloser, error) { return open(ctx, s, place, name, e.Size) }); err != nil {
		in.Trouble = console.Escape(err.Error())
	}
	answer(w, in)
}

// target returns the file of a request.
func target(place, file string) (spooldir.Place, string, error) {
	p := spooldir.Place(place)
	if p != spooldir.Spool && p != spooldir.Hold && p != spooldir.Failed {
		return "", "", errors.New("no such place")
	}
	name, err := base64.RawURLEncoding.DecodeString(file)
	if err != nil {
		return "", "", errors.New("the name of the file is to be in base64url")
	}
	return p, string(name), nil
}

func people(e *mailq.Entry) []person {
	all := []person{}
	for _, list := range []struct {
		as string
		of []record.Recipient
	}{{"To", e.To}, {"Cc", e.Cc}, {"Bcc", e.Bcc}} {
		for i := range list.of {
			r := &list.of[i]
			p := person{
				Address: console.Escape(r.Address), As: list.as, State: "waiting", Attempts: r.Attempts,
				Error: console.Escape(r.Error),
				Relay: console.Escape(r.Relay), Last: r.LastAttempt,
			}
			switch {
			case r.Accepted():
				p.State = "sent"
			case r.GivenUp:
				p.State = "failed"
			case r.Status == record.InProgress:
				p.State = "sending"
			default:
				p.Next = r.NextAttempt
			}
			if r.History != nil {
				p.TLS, p.Reply = console.Escape(r.History.Last.TLS), console.Escape(r.History.Last.Reply)
				p.Tries, p.LeftOut = tries(r)
			}
			all = append(all, p)
		}
	}
	return all
}

// tries returns the attempts for r, if there was more than one.
func tries(r *record.Recipient) (all []try, leftOut int) {
	runs, leftOut := r.AttemptRuns()
	if len(runs) == 1 && runs[0].Times <= 1 && leftOut == 0 {
		return nil, 0
	}
	for _, run := range runs {
		how := strings.TrimPrefix(run.Relay+", "+run.TLS, ", ")
		all = append(all, try{
			At: run.Time, Until: run.Until, Times: run.Times, How: console.Escape(strings.TrimSuffix(how, ", ")),
			Reply: console.Escape(cmp.Or(run.Reply, run.Error, "no answer")),
		})
	}
	return all, leftOut
}

// open reads header and text of the file.
func (in *inside) open(content func() (io.ReadCloser, error)) error {
	f, err := content()
	if err != nil {
		return err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, mostRead+1))
	if err != nil {
		return err
	}
	if in.Part = len(raw) > mostRead; in.Part {
		raw = raw[:mostRead]
	}
	raw = bytes.ReplaceAll(raw, []byte("\r\n"), []byte("\n"))
	header, body, _ := bytes.Cut(raw, []byte("\n\n"))
	in.Header = plain(header, mostHeader)
	h, err := message.ReadHeader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil { // unknown charset: the text is shown unchanged
		in.Text = plain(body, mostText)
		return err
	}
	var p parts
	err = p.take(h.Get, bytes.NewReader(body), 0)
	if in.Part {
		err = nil // the text is cut off
	}
	in.Text, in.Attachments = plain([]byte(p.text()), mostText), append(in.Attachments, p.files...)
	if in.Text == "" && len(in.Attachments) == 0 {
		in.Text = plain(body, mostText)
	}
	return err
}

// plain returns text of unknown origin, escaped line by line, up to a number of bytes.
func plain(text []byte, most int) string {
	cut := len(text) > most
	if cut {
		text = text[:most]
	}
	var b strings.Builder
	for line := range strings.Lines(string(text)) {
		for i, part := range strings.Split(strings.TrimRight(line, "\r\n"), "\t") {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(console.Escape(part))
		}
		b.WriteByte('\n')
	}
	if cut {
		b.WriteString("…\n")
	}
	return b.String()
}
