package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/unbit/spoolgore/internal/console"
	"github.com/unbit/spoolgore/internal/mailq"
	"github.com/unbit/spoolgore/internal/spooldir"
)

// mostDone is the maximum number of messages of a request.
const mostDone = mostRow

// order is a requested action: "flush" for all messages, other acts for some.
type order struct {
	Act      string `json:"act"`
	Messages []struct {
		Place   string `json:"place"`
		File    string `json:"file"`
		Version string `json:"version"`
	} `json:"messages"`
}

// outcome is the result of an order.
type outcome struct {
	Done   int      `json:"done"`
	Failed []mishap `json:"failed"`
}

type mishap struct {
	File  string `json:"file"`
	Error string `json:"error"`
}

// action is an action on a file of s.
type action func(s *Server, place spooldir.Place, name string, id spooldir.ID) error

// acts are the actions on a message: those of mv, touch and rm.
var acts = map[string]action{
	"retry": func(s *Server, place spooldir.Place, name string, _ spooldir.ID) error {
		switch by := s.dir.Steering(); {
		case place != spooldir.Spool:
			return by.Shift(name, place, spooldir.Spool)
		case spooldir.IsTemporary(name, s.opts.Temporary):
			return mailq.ErrTemporary
		default:
			return errors.Join(by.Touch(name), by.Touched())
		}
	},
	"hold": func(s *Server, place spooldir.Place, name string, _ spooldir.ID) error {
		return s.dir.Steering().Shift(name, place, spooldir.Hold)
	},
	"delete": func(s *Server, place spooldir.Place, name string, id spooldir.ID) error {
		return s.dir.Steering().Discard(place, name, id)
	},
}

// do carries out an order.
func (s *Server) do(w http.ResponseWriter, r *http.Request) {
	var o order
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		refuse(w, http.StatusBadRequest, "what is to be done cannot be read: "+err.Error())
		return
	}
	if o.Act == "flush" && len(o.Messages) == 0 {
		if s.opts.Collector.Last().Paused { // a pause ends only by an explicit resume
			refuse(w, http.StatusConflict, "the spool is paused, so nothing is tried: it goes on when the daemon "+
				"gets SIGHUP or SIGUSR1")
			return
		}
		s.opts.Log.Info("request over HTTP", "action", "flush", "remote", r.RemoteAddr)
		s.opts.Flush()
		answer(w, outcome{Failed: []mishap{}})
		return
	}
	act := acts[o.Act]
	if act == nil || len(o.Messages) == 0 || len(o.Messages) > mostDone {
		refuse(w, http.StatusBadRequest, fmt.Sprintf("an act is retry, hold or delete, of 1 to %d messages; or flush",
			mostDone))
		return
	}
	out, gone := doAll(s, act, o, r.RemoteAddr)
	if s.dir != nil {
		if err := s.dir.SyncPlaces(); err != nil {
			s.opts.Log.Error("request over HTTP done, but a power cut may undo it", "action", o.Act, "err", err)
		}
	}
	s.table.expire(gone)
	answer(w, out)
}

// doAll executes an action on each message of an order. gone are the messages that have left their places.
func doAll(s *Server, act action, o order, remote string) (outcome, map[[2]string]bool) {
	out, gone := outcome{Failed: []mishap{}}, make(map[[2]string]bool)
	for _, m := range o.Messages {
		place, name, err := target(m.Place, m.File)
		if err == nil {
			if s.opts.Queue != nil {
				err = steer(s.opts.Queue, o.Act, place, name)
			} else {
				err = s.doTo(act, place, name, m.Version)
			}
		}
		if err != nil {
			out.Failed = append(out.Failed, mishap{m.File, reasonOf(err)})
			continue
		}
		out.Done++
		gone[[2]string{m.Place, name}] = place != spooldir.Spool || o.Act != "retry"
		s.opts.Log.Info("request over HTTP", "action", o.Act, "file", name, "place", string(place), "remote",
			remote)
	}
	return out, gone
}

// doTo executes an action on the version of a file that the request names.
func (s *Server) doTo(act action, place spooldir.Place, name, version string) error {
	path := s.dir.At(place, name)
	if !spooldir.Usable(name) || place == spooldir.Failed && spooldir.IsWhyFile(name) || path == s.table.statusPath() {
		return fs.ErrNotExist // the file is no message
	}
	fi, err := s.dir.FS().Lstat(path)
	if err != nil {
		return err
	}
	id := spooldir.IDOf(fi)
	if versionOf(id) != version {
		return spooldir.ErrChanged
	}
	return act(s, place, name, id)
}

// reasonOf returns the reason for a failed action, for people.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "it is not there any more: it was sent, moved or deleted"
	case errors.Is(err, fs.ErrExist):
		return "there is a message of that name already"
	case errors.Is(err, spooldir.ErrChanged):
		return "it has changed since; look again"
	case errors.Is(err, spooldir.ErrLinked):
		return "it is just being moved; look again"
	}
	return console.Escape(err.Error())
}
