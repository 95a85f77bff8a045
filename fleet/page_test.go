package fleet

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// pageOf serves the page of q, and returns a function for requests of an operator.
func pageOf(t *testing.T, q *Queue) (p *Page, ask func(method, path, body string) (int, string)) {
	t.Helper()
	p, err := NewPage(q, PageOptions{Authorize: func(r *http.Request) bool { return r.Header.Get("User") == "ann" }})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(p)
	t.Cleanup(server.Close)
	return p, func(method, path, body string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("User", "ann")
		r.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(text)
	}
}

// The page of a spool shows and manages a fleet.
func TestPage(t *testing.T) {
	is := is.New(t)
	q := open(t, Options{Name: "h1"})
	p, ask := pageOf(t, q)
	env := spoolgore.Envelope{From: "a@example.com", To: []string{"b@example.org"}}
	var names []string
	for i := range 3 {
		names = append(names, put(t, q, env, mail(fmt.Sprint("m", i))))
	}
	is.NoErr(q.Hold(t.Context(), names[2]))
	p.look(t.Context())
	code, text := ask("GET", "/", "")
	is.Equal(code, 200)
	is.True(strings.Contains(text, "<script>"))
	var status struct {
		Healthy  bool
		Problems []string
		Queue    map[string]int
		Domains  []struct {
			Name  string
			Count int
		}
	}
	_, text = ask("GET", "/status", "")
	is.NoErr(json.Unmarshal([]byte(text), &status))
	is.True(!status.Healthy && strings.Contains(status.Problems[0], "no worker runs"))
	is.Equal([]int{status.Queue["waiting"], status.Queue["held"]}, []int{2, 1})
	is.Equal(status.Domains[0].Name, "example.org")
	var list struct {
		Total int
		Rows  []struct{ Place, File, Version, Name, Subject string }
	}
	_, text = ask("GET", "/messages?state=waiting,held&limit=2", "")
	is.NoErr(json.Unmarshal([]byte(text), &list))
	is.Equal([]int{list.Total, len(list.Rows)}, []int{3, 2})
	is.Equal(list.Rows[0].Subject, "m0")
	for query, n := range map[string]int{
		"state=held": 1, "state=waiting&q=example.org": 2, "state=waiting&q=100%25": 0, "state=waiting&domain=example.org": 2,
		"state=waiting&domain=x": 0, "state=deferred": 0, "state=scheduled,failed": 0, "state=waiting&relay=x": 0,
		"state=waiting&reason=x": 0,
	} {
		code, text = ask("GET", "/messages?"+query, "")
		is.Equal(code, 200)
		is.NoErr(json.Unmarshal([]byte(text), &list))
		is.Equal(list.Total, n)
	}
	file := base64.RawURLEncoding.EncodeToString([]byte(names[0]))
	_, text = ask("GET", "/message?place=&file="+file, "")
	is.True(strings.Contains(text, "body of m0"))
	code, _ = ask("GET", "/message?place=failed&file="+file, "")
	is.Equal(code, 404)
	order := fmt.Sprintf(`{"act": "delete", "messages": [{"place": "", "file": "%s"}]}`, file)
	_, text = ask("POST", "/do", order)
	is.True(strings.Contains(text, `"done":1`) || strings.Contains(text, `"done": 1`))
	_, text = ask("POST", "/do", order)
	is.True(strings.Contains(text, "it is not there any more"))
	is.Equal(rows(t, q), 2)
	relay := &smtptest.Relay{}
	work(t, q, options(relay))
	held := base64.RawURLEncoding.EncodeToString([]byte(names[2]))
	ask("POST", "/do", fmt.Sprintf(`{"act": "retry", "messages": [{"place": "hold", "file": "%s"}]}`, held))
	eventually(t, "every message is sent", func() bool { return rows(t, q) == 0 })
	eventually(t, "the counts have the sent messages", func() bool { p.look(t.Context()); return p.Last().Sent == 2 })
	code, _ = ask("GET", "/healthz", "")
	is.Equal(code, 200)
	_, text = ask("GET", "/metrics", "")
	for _, line := range []string{`spoolgore_recipients_total{outcome="sent"} 2`, `spoolgore_healthy 1`,
		`spoolgore_delivery_latency_seconds_bucket{le="+Inf"} 2`, `spoolgore_delivery_latency_seconds_count 2`,
		`spoolgore_relay_up{relay="mail.example.com:25"} 1`} {
		is.True(strings.Contains(text, line+"\n"))
	}
	is.Equal(bytes.Count([]byte(text), []byte("# TYPE spoolgore_recipients_total ")), 1)
}
