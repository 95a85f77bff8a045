package web

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/unbit/spoolgore"
)

// scrape returns the metrics of the spool, one per line, without those of Go and of the process.
func scrape(t *testing.T, s *Server) (lines []string, text string) {
	t.Helper()
	got := send(s.Handler(), request{path: "/metrics"})
	if got.Code != http.StatusOK {
		t.Fatal(got.Code, got.Body)
	}
	for line := range strings.Lines(got.Body.String()) {
		if strings.HasPrefix(line, "spoolgore_") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines, got.Body.String()
}

func has(lines []string, want string) bool {
	for _, line := range lines {
		if line == want {
			return true
		}
	}
	return false
}

func TestMetrics(t *testing.T) {
	is := is.New(t)
	s, _ := tried(t)
	now := time.Now()
	relay := "mail.example.com:587"
	refused := &spoolgore.DeliveryError{Fault: spoolgore.FaultRecipient, Err: errors.New("x")}
	down := &spoolgore.DeliveryError{Fault: spoolgore.FaultRelay, Op: "dial", Err: errors.New("x")}
	for _, ev := range []spoolgore.Event{
		{Kind: spoolgore.EventQueued, Time: now},
		{Kind: spoolgore.EventSent, Relay: relay, Reply: "250 2.0.0 Ok", Time: now, Since: now.Add(-3 * time.Second)},
		// the clock was set back
		{Kind: spoolgore.EventSent, Relay: relay, Reply: "250 2.0.0 Ok", Time: now, Since: now.Add(time.Hour)},
		{Kind: spoolgore.EventDeferred, Relay: relay, Reply: "450 4.7.1 later", Fault: spoolgore.FaultRecipient, Err: refused},
		{Kind: spoolgore.EventDeferred, Relay: relay, Fault: spoolgore.FaultRelay, Err: down},
		// no attempt was counted
		{Kind: spoolgore.EventDeferred, Relay: relay, Fault: spoolgore.FaultNone, Err: refused},
		{Kind: spoolgore.EventFailed, Relay: relay, Reply: "550 no", Fault: spoolgore.FaultRecipient, Err: refused},
		{Kind: spoolgore.EventFailed, Fault: spoolgore.FaultMessage, Err: errors.New("too old")},
		{Kind: spoolgore.EventKept}, {Kind: spoolgore.EventUnusable},
	} {
		s.Observe(ev)
	}
	lines, _ := scrape(t, s)
	for _, want := range []string{
		`spoolgore_recipients_total{code="2.0",outcome="sent",relay="mail.example.com:587"} 2`,
		`spoolgore_recipients_total{code="4.7",outcome="deferred",relay="mail.example.com:587"} 1`,
		`spoolgore_recipients_total{code="5",outcome="failed",relay="mail.example.com:587"} 1`,
		`spoolgore_recipients_total{code="none",outcome="failed",relay=""} 1`,
		`spoolgore_relay_troubles_total{relay="mail.example.com:587",step="dial"} 1`,
		`spoolgore_delivery_latency_seconds_bucket{le="2.5"} 1`,
		`spoolgore_delivery_latency_seconds_bucket{le="5"} 2`,
		`spoolgore_delivery_latency_seconds_count 2`,
		`spoolgore_queued_messages{state="deferred"} 2`,
		`spoolgore_queued_messages{state="unusable"} 1`,
		`spoolgore_queued_messages{state="held"} 0`,
		`spoolgore_failed_messages 1`,
		`spoolgore_connections{relay="mail.example.com:587"} 2`,
		`spoolgore_connections_limit{relay="mail.example.com:587"} 20`,
		`spoolgore_relay_up{relay="mail.example.com:587"} 1`,
		`spoolgore_rate_limit_waits_total 0`,
		`spoolgore_paused 0`,
		`spoolgore_healthy 1`,
	} {
		is.True(has(lines, want)) // want
		if !has(lines, want) {
			t.Log(want)
		}
	}
	for _, line := range lines {
		if age, ok := strings.CutPrefix(line, "spoolgore_oldest_message_age_seconds "); ok {
			is.True(age != "0") // a message waits
		}
	}
}

// Names and units follow the conventions of Prometheus.
func TestMetricsFollowTheConventions(t *testing.T) {
	is := is.New(t)
	s, _ := tried(t)
	s.Observe(spoolgore.Event{Kind: spoolgore.EventSent, Relay: "a:25"})
	s.Observe(spoolgore.Event{Kind: spoolgore.EventDeferred, Relay: "a:25", Fault: spoolgore.FaultRelay})
	_, text := scrape(t, s)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	is.NoErr(err)
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "spoolgore_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

// The number of label values is bounded for any replies of relays.
func TestLabelsAreBounded(t *testing.T) {
	is := is.New(t)
	s, _ := serve(t, t.TempDir(), Options{})
	for i := range 3000 {
		s.Observe(spoolgore.Event{
			Kind: spoolgore.EventSent, Relay: fmt.Sprintf("relay%d\xff\n\"", i), Reply: fmt.Sprintf("%d %d.%d.%d x", 200+i%400, i%9, i%1000, i),
		})
		s.Observe(spoolgore.Event{
			Kind: spoolgore.EventDeferred, Fault: spoolgore.FaultRelay, Relay: "a:25", Err: &spoolgore.DeliveryError{Op: fmt.Sprint("step", i), Err: errors.New("x")},
		})
	}
	lines, _ := scrape(t, s)
	is.True(len(lines) < 66*40)
	is.True(has(lines, `spoolgore_relay_troubles_total{relay="a:25",step="other"} 3000`))
	codes := make(map[string]bool)
	for _, m := range regexp.MustCompile(`code="([^"]*)"`).FindAllStringSubmatch(strings.Join(lines, "\n"), -1) {
		codes[m[1]] = true
	}
	is.True(len(codes) <= 1+4*9)
}

func TestCode(t *testing.T) {
	for reply, want := range map[string]string{
		"250 2.0.0 Ok": "2.0", "250-2.6.0 Ok": "2.6", "451 4.7.1 x": "4.7", "550 5.1.1 x": "5.1", "354 go": "3",
		"": "none", "25": "none", "abc d": "none", "999 9.9.9": "none", "250": "2", "550 no such user": "5",
		"550 4.1.1 x": "5", "550 5.10.1 x": "5", "550 5.9.1 x": "5", "550 5.": "5", "550 5.1": "5", "\xff\xff\xff": "none",
	} {
		is.New(t).Equal(code(reply), want) // reply
	}
}

// docs/monitoring.md has every metric, and no other.
func TestTheDocsHaveEveryMetric(t *testing.T) {
	is := is.New(t)
	s, _ := tried(t)
	s.Observe(spoolgore.Event{Kind: spoolgore.EventSent, Relay: "a:25"})
	s.Observe(spoolgore.Event{Kind: spoolgore.EventDeferred, Relay: "a:25", Fault: spoolgore.FaultRelay})
	_, text := scrape(t, s)
	docs, err := os.ReadFile("../../docs/monitoring.md")
	is.NoErr(err)
	documented, there := make(map[string]bool), make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)`(spoolgore_[a-z_]+)[`{]").FindAllSubmatch(docs, -1) {
		documented[string(m[1])] = true
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (spoolgore_[a-z_]+) `).FindAllStringSubmatch(text, -1) {
		there[m[1]] = true
	}
	is.Equal(documented, there)
}
