package spoolgore

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jhillyerd/enmime/v2"
	"github.com/jhillyerd/enmime/v2/dsn"
	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtptest"
)

// receivedReport is a report as its recipient gets it.
type receivedReport struct {
	*dsn.Report
	env  *enmime.Envelope
	text string
}

// actions returns each recipient of the report with its action.
func (r receivedReport) actions() string {
	var list []string
	for _, f := range r.DeliveryStatus.RecipientDSNs {
		_, addr, _ := strings.Cut(f.Get("Final-Recipient"), "; ")
		list = append(list, addr+" "+f.Get("Action"))
	}
	return strings.Join(list, ", ")
}

// reports returns the reports among the messages that a relay got, as a mail program reads them.
func reports(t *testing.T, relay *smtptest.Relay) (list []receivedReport) {
	t.Helper()
	for _, m := range relay.Messages() {
		if m.From != "" {
			continue
		}
		env, err := enmime.ReadEnvelope(strings.NewReader(string(m.Data)))
		check(t, err)
		rep, err := dsn.ParseReport(env.Root)
		if err != nil || rep == nil || len(m.To) != 1 || env.GetHeader("To") != "<"+m.To[0]+">" {
			t.Fatalf("not a report to %v (%v):\n%s", m.To, err, m.Data)
		}
		list = append(list, receivedReport{rep, env, string(m.Data)})
	}
	return list
}

// refusing is a relay with given replies to RCPT for some addresses.
func refusing(answers map[string]string) *smtptest.Relay {
	return &smtptest.Relay{Reply: func(verb, arg string) string {
		if verb == "RCPT" {
			return answers[arg]
		}
		return ""
	}}
}

// ls lists a subdirectory of the spool.
func ls(t *testing.T, dir, sub string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, sub))
	check(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// whyFile reads failed/NAME.json.
func whyFile(t *testing.T, dir, name string) (why Failure) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "failed", name+".json"))
	check(t, err)
	check(t, json.Unmarshal(text, &why))
	return why
}

const enveloped = "X-Spoolgore-Envelope: %s\nFrom: a@example.com\nSubject: hello\nMessage-ID: <1@example.com>\n\nthe body\n"

func TestSenderGetsAReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, events := t.TempDir(), &events{}
		relay := refusing(map[string]string{"bad@example.org": "550 5.1.1 no such user"})
		drop(t, dir, "m", "From: a@example.com\nTo: good@example.org, bad@example.org, broken@\nSubject: hello\nMessage-ID: <1@example.com>\n\nhello\n")
		_, stop := begin(t, dir, Options{Dial: relay.Dial, OnEvent: events.add, LocalName: "host.example.com"})
		pass(time.Second)
		stop()
		// the message is kept, and the mark of the report is removed
		is.Equal(ls(t, dir, "failed"), []string{"m", "m.json"})
		is.Equal(ls(t, dir, "tmp"), nil)
		got := reports(t, relay)
		is.Equal(len(got), 1)
		r := got[0]
		is.Equal(r.actions(), "bad@example.org failed, broken@ failed") // the accepted recipient is not in the report
		is.Equal(r.env.GetHeader("To"), "<a@example.com>")
		is.Equal(r.env.GetHeader("From"), "Mail Delivery System <MAILER-DAEMON@host.example.com>")
		is.Equal(r.env.GetHeader("In-Reply-To"), "<1@example.com>")
		is.Equal(r.env.GetHeader("Auto-Submitted"), "auto-replied")
		is.Equal(r.DeliveryStatus.MessageDSNs[0].Get("Reporting-MTA"), "dns; host.example.com")
		is.Equal(r.DeliveryStatus.RecipientDSNs[0].Get("Diagnostic-Code"), "smtp; 550 5.1.1 no such user")
		is.Equal(r.DeliveryStatus.RecipientDSNs[0].Get("Remote-MTA"), "dns; smarthost.test")
		is.Equal(r.DeliveryStatus.RecipientDSNs[1].Get("Status"), "5.1.3") // the recipient is no address
		is.True(strings.Contains(r.Explanation.Text, "failed/m"))          // the place of the message
		is.True(strings.Contains(r.text, "\r\nSubject: hello\r\n"))        // the report has the header of the message
		is.True(!strings.Contains(r.text, "\r\nhello\r\n"))                // but not the body
		kept := events.ofKind(EventKept)
		is.Equal(len(kept), 1)
		is.Equal(kept[0].File, "m")
		is.Equal(kept[0].Path, filepath.Join(dir, "failed", "m"))
		is.True(strings.Contains(kept[0].Err.Error(), "550 5.1.1 no such user"))
	})
}

// ofKind lists the events of a kind.
func (e *events) ofKind(k EventKind) (list []Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.all {
		if ev.Kind == k {
			list = append(list, ev)
		}
	}
	return list
}

func TestAReportAboutAReportIsNeverMade(t *testing.T) {
	t.Parallel()
	for name, from := range map[string]string{"sender refused too": "From: a@example.com\n", "null sender": "Return-Path: <>\nFrom: a@example.com\n"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir := t.TempDir()
				relay := &smtptest.Relay{Reply: func(verb, _ string) string {
					if verb == "RCPT" {
						return "550 5.1.1 no such user"
					}
					return ""
				}}
				drop(t, dir, "m", from+"To: b@example.org\n\nhello\n")
				_, stop := begin(t, dir, Options{Dial: relay.Dial, Freq: time.Minute})
				pass(24 * time.Hour)
				stop()
				want := 2
				if name == "null sender" {
					want = 1
				}
				// the message and one report, but no report about the report
				is.Equal(count(relay.Commands(), "RCPT"), want)
				is.Equal(len(ls(t, dir, "failed")), 2*want) // both are kept with a why-file
				is.True(exists(dir, "failed", "m"))
			})
		})
	}
}

func count(commands []string, verb string) (n int) {
	for _, c := range commands {
		if strings.HasPrefix(c, verb) {
			n++
		}
	}
	return n
}

func TestReportsAreAsTheSenderWishes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, envelope string
		want           string // actions of the only report; empty: none
		has            string // in the report
	}{
		{"no wish", `{"from":"a@example.com","to":["b@x.org","c@x.org"]}`, "b@x.org failed, c@x.org failed", "text/rfc822-headers"},
		{"never", `{"from":"a@example.com","to":["b@x.org","c@x.org"],"notify":["NEVER","NEVER"]}`, "", ""},
		{"of delays only", `{"from":"a@example.com","to":["b@x.org"],"notify":["DELAY"]}`, "", ""},
		{"of success only", `{"from":"a@example.com","to":["b@x.org"],"notify":["SUCCESS"]}`, "", ""},
		{"of failures", `{"from":"a@example.com","to":["b@x.org"],"notify":["SUCCESS,FAILURE"]}`, "b@x.org failed", ""},
		{"of one only", `{"from":"a@example.com","to":["b@x.org","c@x.org"],"notify":["NEVER"]}`, "c@x.org failed", ""},
		{"header", `{"from":"a@example.com","to":["b@x.org"],"ret":"HDRS"}`, "b@x.org failed", "text/rfc822-headers"},
		{"all of it", `{"from":"a@example.com","to":["b@x.org"],"ret":"FULL"}`, "b@x.org failed", "message/rfc822"},
		{"identifier", `{"from":"a@example.com","to":["b@x.org"],"envid":"a+b=c"}`, "b@x.org failed", "\r\nOriginal-Envelope-Id: a+b=c\r\n"},
		{"original recipient", `{"from":"a@example.com","to":["b@x.org"],"orcpt":["rfc822;o+1@x.org"]}`, "b@x.org failed", "\r\nOriginal-Recipient: rfc822; o+1@x.org\r\n"},
		{"null sender", `{"from":"","to":["b@x.org"],"notify":["FAILURE"]}`, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), refusing(map[string]string{"b@x.org": "550 no", "c@x.org": "550 no"})
				drop(t, dir, "m", fmt.Sprintf(enveloped, tt.envelope))
				_, stop := begin(t, dir, Options{Dial: relay.Dial})
				pass(time.Minute)
				stop()
				// the message is kept whether a report is sent or not
				is.Equal(ls(t, dir, "failed"), []string{"m", "m.json"})
				got := reports(t, relay)
				if tt.want == "" {
					is.Equal(len(got), 0)
					return
				}
				is.Equal(len(got), 1)
				is.Equal(got[0].actions(), tt.want)
				is.True(strings.Contains(got[0].text, tt.has))
				is.Equal(strings.Contains(got[0].text, "the body"), tt.name == "all of it")
			})
		})
	}
}

func TestReportsCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), refusing(map[string]string{"b@example.org": "550 no", "slow@example.org": "451 later"})
		drop(t, dir, "m", simple)
		drop(t, dir, "n", "From: a@example.com\nTo: b@example.org, slow@example.org\n\nhello\n")
		_, stop := begin(t, dir, Options{Dial: relay.Dial, NoReports: true, WarnAfter: time.Minute, MaxAge: 5 * time.Hour, Freq: time.Minute})
		pass(24 * time.Hour)
		stop()
		is.Equal(len(relay.Messages()), 0)
		is.Equal(ls(t, dir, "failed"), []string{"m", "m.json", "n", "n.json"}) // no mark of a report is left
	})
}

func TestWhoIsRefusedIsReportedWhileOthersWait(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		later  string // the last reply to the recipient that waits
		second string // actions of a second report; empty: there is no second report
	}{
		"and are served":   {"", ""},
		"and are given up": {"550 5.2.1 no", "slow@x.org failed"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir := t.TempDir()
				var slow atomic.Value
				slow.Store("451 4.2.1 later")
				relay := &smtptest.Relay{Reply: func(verb, arg string) string {
					switch {
					case verb == "RCPT" && arg == "bad@x.org":
						return "550 5.1.1 no such user"
					case verb == "RCPT" && arg == "slow@x.org":
						return slow.Load().(string)
					}
					return ""
				}}
				drop(t, dir, "m", "From: a@example.com\nTo: bad@x.org, slow@x.org\nSubject: hello\n\nhello\n")
				_, stop := begin(t, dir, Options{Dial: relay.Dial, Freq: time.Minute})
				pass(reportDelay - time.Minute)
				is.Equal(len(reports(t, relay)), 0) // the report waits for the outcome of the other recipient
				pass(2 * time.Minute)
				got := reports(t, relay)
				is.Equal(len(got), 1)
				is.Equal(got[0].actions(), "bad@x.org failed")
				is.True(!strings.Contains(got[0].Explanation.Text, "failed/m")) // the message is still in the spool
				is.True(exists(dir, "m"))
				stop()
				_, stop = begin(t, dir, Options{Dial: relay.Dial, Freq: time.Minute})
				pass(6 * time.Hour)
				is.Equal(len(reports(t, relay)), 1) // one report, also after a restart
				slow.Store(tt.later)
				pass(time.Hour)
				stop()
				is.True(exists(dir, "failed", "m"))
				is.True(whyFile(t, dir, "m").To[0].Told)
				got = reports(t, relay)
				if tt.second == "" {
					is.Equal(len(got), 1) // no second report without a new failure
					return
				}
				is.Equal(len(got), 2)
				is.Equal(got[1].actions(), tt.second) // only the new failure
			})
		})
	}
}

func TestTheSenderIsWarnedOnce(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, envelope string
		want           string // the only warning; empty: none
	}{
		{"no wish", `{"from":"a@example.com","to":["slow@x.org","good@x.org"]}`, "slow@x.org delayed"},
		{"wanted", `{"from":"a@example.com","to":["slow@x.org"],"notify":["DELAY"]}`, "slow@x.org delayed"},
		{"not wanted", `{"from":"a@example.com","to":["slow@x.org"],"notify":["FAILURE"]}`, ""},
		{"null sender", `{"from":"","to":["slow@x.org"]}`, ""},
		{"with who was refused", `{"from":"a@example.com","to":["slow@x.org","bad@x.org"]}`, "slow@x.org delayed, bad@x.org failed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), refusing(map[string]string{"slow@x.org": "451 4.2.1 later", "bad@x.org": "550 no"})
				opts := Options{Dial: relay.Dial, WarnAfter: 30 * time.Minute, Freq: time.Minute}
				drop(t, dir, "m", fmt.Sprintf(enveloped, tt.envelope))
				_, stop := begin(t, dir, opts)
				pass(29 * time.Minute)
				is.Equal(len(reports(t, relay)), 0)
				pass(2 * time.Minute)
				is.Equal(len(reports(t, relay)) == 1, tt.want != "")
				pass(10 * time.Hour)
				stop()
				_, stop = begin(t, dir, opts)
				pass(10 * time.Hour)
				stop()
				got := reports(t, relay)
				if tt.want == "" {
					is.Equal(len(got), 0)
					return
				}
				is.Equal(len(got), 1) // one warning, also after a restart
				is.Equal(got[0].actions(), tt.want)
				late := got[0].DeliveryStatus.RecipientDSNs[0]
				is.Equal(late.Get("Status"), "4.2.1")
				is.True(late.Get("Will-Retry-Until") != "")
				is.True(exists(dir, "m"))
			})
		})
	}
}

func TestMessagesThatNoRelayTookAreReportedToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		var down atomic.Bool
		down.Store(true)
		relay := &smtptest.Relay{Reply: func(verb, _ string) string {
			if verb == "DIAL" && down.Load() {
				return "connection refused"
			}
			return ""
		}}
		for i := range 20 {
			drop(t, dir, fmt.Sprint(i), fmt.Sprintf("From: a%d@example.com\nTo: b@example.org\n\nhello\n", i))
		}
		_, stop := begin(t, dir, Options{Dial: relay.Dial, MaxAge: time.Hour, WarnAfter: 10 * time.Minute, Freq: time.Minute})
		pass(90 * time.Minute) // in the spool there are also 20 warnings and 20 reports
		down.Store(false)
		pass(10 * time.Minute)
		stop()
		byAction := map[string]int{}
		for _, r := range reports(t, relay) {
			byAction[r.DeliveryStatus.RecipientDSNs[0].Get("Action")]++
		}
		is.Equal(byAction["failed"], 20)
		// warnings are given up at the same age as other mail
		is.Equal(len(ls(t, dir, "failed")), 40+2*(20-byAction["delayed"]))
	})
}

func TestReportIsMadeAfterACrashBeforeTheReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), refusing(map[string]string{"b@example.org": "550 5.1.1 no such user"})
		drop(t, dir, "m", simple)
		_, stop := start(t, dir, Options{Dial: relay.Dial}) // this run sends no reports
		pass(time.Second)
		stop()
		mark := filepath.Join(dir, "failed", ".untold-")
		// marks that a crash has left, also for a message that was removed since
		for _, name := range []string{"m", "removed", "m.json"} {
			check(t, os.WriteFile(mark+name, nil, 0o600))
		}
		_, stop = begin(t, dir, Options{Dial: relay.Dial})
		pass(time.Second)
		stop()
		got := reports(t, relay)
		is.Equal(len(got), 1)
		is.Equal(got[0].actions(), "b@example.org failed")
		is.Equal(ls(t, dir, "failed"), []string{"m", "m.json"}) // no mark is left
		_, stop = begin(t, dir, Options{Dial: relay.Dial})
		pass(time.Second)
		stop()
		is.Equal(len(reports(t, relay)), 1)
	})
}

func TestAReportThatCannotBeMadeNowIsMadeLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay, log := t.TempDir(), refusing(map[string]string{"b@example.org": "550 no"}), &lines{}
		drop(t, dir, "m", simple)
		drop(t, dir, "n", strings.Replace(simple, "<1@", "<2@", 1))
		_, stop := start(t, dir, Options{Dial: relay.Dial})
		pass(time.Second)
		stop()
		why := filepath.Join(dir, "failed", "m.json")
		check(t, os.Rename(why, why+".kept"))
		check(t, os.WriteFile(why, nil, 0o600))
		check(t, os.Truncate(why, 1<<30)) // cannot be read
		for _, name := range []string{"m", "n"} {
			check(t, os.WriteFile(filepath.Join(dir, "failed", ".untold-"+name), nil, 0o600))
		}
		_, stop = begin(t, dir, Options{Dial: relay.Dial, Logger: slog.New(slog.NewTextHandler(log, nil))})
		pass(time.Hour)
		is.Equal(len(reports(t, relay)), 1) // the report about the other message is sent
		is.True(exists(dir, "failed", ".untold-m"))
		is.True(exists(dir, "failed", "m")) // the message stays in failed/
		said := strings.Count(log.String(), "report cannot be made")
		// the error is logged once, or twice if another report was sent between; not at each retry
		is.True(said == 1 || said == 2)
		check(t, os.Rename(why+".kept", why))
		pass(20 * time.Minute)
		stop()
		is.Equal(len(reports(t, relay)), 2)
		is.True(!exists(dir, "failed", ".untold-m"))
	})
}

func TestMovedBackAndFailedAgainIsReportedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), refusing(map[string]string{"bad@x.org": "550 no"})
		drop(t, dir, "m", "From: a@example.com\nTo: bad@x.org, good@x.org\n\nhello\n")
		_, stop := begin(t, dir, Options{Dial: relay.Dial})
		pass(time.Second)
		shift(t, filepath.Join(dir, "failed"), dir, "m")
		pass(time.Minute)
		stop()
		got := reports(t, relay)
		is.Equal(len(got), 2)
		is.Equal(got[1].actions(), "bad@x.org failed")
		is.Equal(ls(t, dir, "failed"), []string{"m", "m.json"})
		n := 0
		for _, m := range relay.Messages() {
			if slices.Contains(m.To, "good@x.org") {
				n++
			}
		}
		is.Equal(n, 1) // good@x.org gets one copy
	})
}

func TestDrainSendsTheReportsToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), refusing(map[string]string{"b@example.org": "550 no"})
		drop(t, dir, "m", simple)
		s := New(dir, telling(Options{Dial: relay.Dial}))
		s.opts.Watch = WatchOff
		is.NoErr(s.Drain(t.Context()))
		is.Equal(len(reports(t, relay)), 1)
	})
}

func TestAReportTakesTheWayOfItsMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir, relay := t.TempDir(), refusing(map[string]string{"b@example.org": "550 no"})
		drop(t, dir, "m", simple)
		_, stop := begin(t, dir, Options{SMTPAddr: "other.test:25", Dial: relay.Dial, Routes: []Route{
			{Sender: "@example.com", SMTPAddr: "ours.test:25"},
		}})
		pass(time.Minute)
		stop()
		is.Equal(len(reports(t, relay)), 1)
		is.Equal(relay.Connections(), 1) // the relay of a@example.com takes mail for a@example.com
	})
}

func TestRelayedIsReportedIfTheRelayMakesNoReports(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		ext  []string
		want int
	}{
		"relay without DSN": {nil, 1},
		"relay with DSN":    {[]string{"DSN"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), &smtptest.Relay{Ext: tt.ext}
				drop(t, dir, "m", fmt.Sprintf(enveloped, `{"from":"a@example.com","to":["b@x.org","c@x.org"],"notify":["SUCCESS","FAILURE"]}`))
				_, stop := begin(t, dir, Options{Dial: relay.Dial})
				pass(time.Minute)
				stop()
				got := reports(t, relay)
				is.Equal(len(got), tt.want)
				if tt.want > 0 {
					is.Equal(got[0].actions(), "b@x.org relayed") // c@x.org has NOTIFY=FAILURE
				}
				is.Equal(len(relay.Messages()), 1+tt.want)
				is.Equal(len(ls(t, dir, "failed")), 0)
			})
		})
	}
}

func TestWhyFileTellsOfEveryAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		dir := t.TempDir()
		cert, _ := smtptest.Certificate(t, "smarthost.test")
		tries := 0
		relay := &smtptest.Relay{
			TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Ext: []string{"STARTTLS"},
			Reply: func(verb, arg string) string {
				if verb != "RCPT" || arg != "b@example.org" {
					return ""
				}
				tries++
				return fmt.Sprintf("451 4.2.%d later", tries)
			},
		}
		drop(t, dir, "m", strings.Replace(simple, "To: ", "Cc: good@example.org\nTo: ", 1))
		began := time.Now()
		_, stop := begin(t, dir, Options{Dial: relay.Dial, Attempts: 3, TLSConfig: &tls.Config{InsecureSkipVerify: true}})
		pass(time.Hour)
		stop()
		why := whyFile(t, dir, "m")
		r := why.To[0]
		is.Equal(r.Attempts, 3)
		is.True(r.History.First.Time.Equal(began))
		is.True(r.History.Last.Time.Equal(began.Add(3 * time.Minute)))
		is.Equal(r.History.Times, 3)
		is.Equal(len(r.History.Runs), 3)
		is.Equal(r.History.Runs[1].Reply, "451 4.2.2 later")
		is.True(r.History.Runs[1].Time.Equal(began.Add(time.Minute)))
		is.Equal(r.History.First.Reply, "451 4.2.1 later")
		is.Equal(r.History.Last.Reply, "451 4.2.3 later")
		is.Equal(r.History.Last.Relay, "smarthost.test:25")
		is.Equal(r.History.Last.TLS, "TLS 1.3")
		is.Equal(why.Cc[0].History.Last.Reply, "250 2.0.0 accepted") // accepted recipients have a history, too
		is.Equal(why.Reason, "b@example.org: given up after 3 attempts: rcpt: 451 4.2.3 later")
		is.Equal(why.From, "a@example.com")
		got := reports(t, relay)
		is.Equal(len(got), 1)
		is.Equal(got[0].DeliveryStatus.RecipientDSNs[0].Get("Status"), "4.2.3")
		is.True(strings.Contains(strings.Join(strings.Fields(got[0].Explanation.Text), " "), "3 attempts were made"))
	})
}

func TestFinalFailureWithoutAReplyHasAStatus(t *testing.T) {
	t.Parallel()
	for ext, tt := range map[string]struct{ to, want string }{
		"SIZE 10":  {"b@example.org", "5.3.4"},
		"8BITMIME": {"jürgen@example.org", "5.6.7"},
	} {
		t.Run(ext, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := is.New(t)
				dir, relay := t.TempDir(), &smtptest.Relay{Ext: []string{ext}}
				drop(t, dir, "m", strings.Replace(simple, "b@example.org", tt.to, 1))
				_, stop := start(t, dir, Options{Dial: relay.Dial})
				pass(time.Second)
				stop()
				is.Equal(whyFile(t, dir, "m").To[0].History.Last.Status, tt.want)
			})
		})
	}
}
