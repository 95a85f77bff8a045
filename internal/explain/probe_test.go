package explain

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// probed returns the outcome of a probe with a message, and the output.
func probed(t *testing.T, file string, opts spoolgore.Options) (Answer, string) {
	t.Helper()
	opts.LocalName = "client.test"
	p, err := Open(write(t, t.TempDir(), "m", file), opts, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	var b strings.Builder
	answer := p.Probe(t.Context(), Page{W: &b})
	return answer, b.String()
}

const letter = "From: a@x.org\nTo: yes@x.org, no@x.org, later@x.org\n\ngr\u00fc\u00dfe\n"

// script answers to a verb, or to "VERB arg", with a text.
func script(answers map[string]string) func(verb, arg string) string {
	return func(verb, arg string) string {
		if text, ok := answers[verb+" "+arg]; ok {
			return text
		}
		return answers[verb]
	}
}

func TestProbe(t *testing.T) {
	pair, pool := smtptest.Certificate(t, "relay.test")
	secure := &tls.Config{Certificates: []tls.Certificate{pair}}
	login := spoolgore.SMTP{User: "ann", Password: "se-cret", TLSConfig: &tls.Config{RootCAs: pool}}
	no, later := "550 5.1.1 no such user", "451 4.7.1 greylisted"
	for name, c := range map[string]struct {
		relay  *smtptest.Relay
		smtp   spoolgore.SMTP
		answer Answer
		want   []string
	}{
		"taken": {&smtptest.Relay{Ext: []string{"STARTTLS", "AUTH PLAIN LOGIN", "SIZE 1000"}, TLS: secure, Users: map[string]string{"ann": "se-cret"}}, login, Accepted, []string{
			"Probe of relay.test:25", "connected   to 192.0.2.1:25", "TLS         TLS 1.3, ", "certificate for relay.test", "signed by CN=authority of the test", "11h more",
			"its key is sha256//", "offers      AUTH PLAIN LOGIN, SIZE 1000", "login       ann with PLAIN accepted", "accepted    yes@x.org", "accepted    no@x.org"}},
		"some": {&smtptest.Relay{Reply: script(map[string]string{"RCPT no@x.org": no, "RCPT later@x.org": later})}, spoolgore.SMTP{}, Refused, []string{
			"TLS         none", "offers      8BITMIME, SIZE", "accepted    yes@x.org", "refused     no@x.org  rcpt: " + no, "it means    There is no such recipient.", "deferred    later@x.org  rcpt: " + later, "greylisting"}},
		"later": {&smtptest.Relay{Reply: script(map[string]string{"RCPT later@x.org": later})}, spoolgore.SMTP{}, Later, []string{"deferred    later@x.org"}},
		"no login": {&smtptest.Relay{Reply: script(map[string]string{"MAIL": "550 5.7.1 not yours"})}, spoolgore.SMTP{}, Later, []string{
			// a refusal because a login is missing
			"deferred    yes@x.org  mail: 550 5.7.1 not yours", "or log in as the owner of the address"}},
		"sender": {&smtptest.Relay{Ext: []string{"STARTTLS", "AUTH PLAIN"}, TLS: secure, Users: map[string]string{"ann": "se-cret"},
			Reply: script(map[string]string{"MAIL": "550 5.7.1 not yours"})}, login, Refused, []string{
			"refused     yes@x.org  mail: 550 5.7.1 not yours", "Send from an address"}},
		"large":   {&smtptest.Relay{Ext: []string{"SIZE 10", "8BITMIME"}}, spoolgore.SMTP{}, Refused, []string{"refused     yes@x.org  size: "}},
		"nobody":  {&smtptest.Relay{Reply: script(map[string]string{"DIAL": "no route to host"})}, spoolgore.SMTP{}, Later, []string{"trouble     dial: ", "no route to host", "cannot be reached"}},
		"blocked": {&smtptest.Relay{Reply: script(map[string]string{"CONNECT": "554 5.7.1 blocked"})}, spoolgore.SMTP{}, Later, []string{"trouble     greeting: 554 5.7.1 blocked", "takes no mail from this host"}},
		"login refused": {&smtptest.Relay{Ext: []string{"STARTTLS", "AUTH PLAIN"}, TLS: secure}, login, Later, []string{
			"offers      AUTH PLAIN", "login       ann with PLAIN\n", "trouble     auth: 535 5.7.8", "refuses the user or the password"}},
		"login not offered": {&smtptest.Relay{Ext: []string{"STARTTLS"}, TLS: secure}, login, Later, []string{"does not offer AUTH", "does not offer a login on this port"}},
		"unknown authority": {&smtptest.Relay{Ext: []string{"STARTTLS"}, TLS: secure}, spoolgore.SMTP{}, Later, []string{
			"certificate for relay.test", "its key is sha256//", "trouble     tls: handshake: the relay's certificate is signed by an unknown authority", "with -smtpca"}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			answer, shown := probed(t, letter, spoolgore.Options{SMTPAddr: "relay.test:25", SMTP: c.smtp, Dial: c.relay.Dial})
			is.Equal(answer, c.answer) // the outcome of the probe
			says(t, shown, c.want...)
			is.True(!strings.Contains(shown, "se-cret")) // no secret is shown
			is.Equal(len(c.relay.Messages()), 0)         // nothing was sent
		})
	}
}

func TestAdviceIsNotRepeated(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{Reply: script(map[string]string{"RCPT": "550 5.1.1 no such user"})}
	_, shown := probed(t, letter, spoolgore.Options{SMTPAddr: "relay.test:25", Dial: relay.Dial})
	is.Equal(strings.Count(shown, "refused "), 3)  // the output has each recipient
	is.Equal(strings.Count(shown, "it means "), 1) // and each reason once
}

// The first usable relay decides. The other relays are asked, too.
func TestProbeOfSeveralRelays(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{Reply: script(map[string]string{"DIAL down.test:25": "no route to host"})}
	answer, shown := probed(t, letter, spoolgore.Options{SMTPAddr: "down.test:25,up.test:25,spare.test:25", Dial: relay.Dial})
	is.Equal(answer, Accepted)
	says(t, shown, "Probe of down.test:25\n  trouble", "Probe of up.test:25\n  connected", "Probe of spare.test:25\n  connected")
}

// The parameters of the envelope line are sent as in a delivery.
func TestProbeAsksWhatADeliveryWould(t *testing.T) {
	is := is.New(t)
	relay := &smtptest.Relay{Ext: []string{"DSN", "SIZE", "8BITMIME"}}
	file := `X-Spoolgore-Envelope: {"from":"a@x.org","to":["b@x.org","none","c@x.org"],"ret":"HDRS","notify":["NEVER","DELAY","FAILURE"]}` + "\nSubject: x\n\ngr\u00fc\u00dfe\n"
	answer, _ := probed(t, file, spoolgore.Options{SMTPAddr: "relay.test:25", Dial: relay.Dial})
	is.Equal(answer, Accepted)
	commands := strings.Join(relay.Commands(), "\n")
	for _, want := range []string{"BODY=8BITMIME RET=HDRS", "RCPT TO:<b@x.org> NOTIFY=NEVER", "RCPT TO:<c@x.org> NOTIFY=FAILURE"} {
		is.True(strings.Contains(commands, want))
	}
	is.True(!strings.Contains(commands, "none")) // an invalid address is not sent to the relay
}

func TestProbeOfAHostileRelay(t *testing.T) {
	is := is.New(t)
	evil := "\x1b]0;x\x07\x1b[2J\u202e"
	relay := &smtptest.Relay{Ext: []string{"X-" + evil, strings.Repeat("Y", 3000), "SIZE " + evil}, Reply: script(map[string]string{
		"RCPT no@x.org": "550-" + evil + "\r\n550 5.1.1 " + evil, "RCPT later@x.org": "450 " + strings.Repeat("x", 3000),
	})}
	answer, shown := probed(t, letter, spoolgore.Options{SMTPAddr: "relay.test:25", Dial: relay.Dial})
	is.Equal(answer, Refused)
	// no control characters
	is.Equal(strings.IndexFunc(shown, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }), -1)
	for line := range strings.Lines(shown) {
		is.True(len(line) < 2000) // the text of the relay is cut
	}
}
