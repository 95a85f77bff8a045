package config

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/relayfile"
)

func TestFlagsAreBoundToOptions(t *testing.T) {
	is := is.New(t)
	c, err := Parse([]string{
		"-smtpaddr", "a:25,b:26", "-relays", "/r", "-smtpuser", "u", "-smtppassword", "p", "-smtpauth", "plain", "-smtptls", "tls",
		"-smtpca", "/ca", "-smtpcert", "/cert", "-smtpkey", "/key", "-smtppin", pinOfNothing,
		"-freq", "5", "-attempts", "7", "-json", "/j", "-smtptimeout", "1m30s", "-maxage", "48h", "-concurrency", "300",
		"-rate", "14/s,600/m", "-nopipelining", "-nochunking", "-window", "8",
		"-localname", "me.example.com", "-bounce=false", "-warnafter", "4h", "-onfail", "logger x", "-once", "-logjson", "-verbose",
		"-trace", "9", "-shortaddresses", "dir",
	}, noEnv)
	is.NoErr(err)
	want := Config{Dir: "dir", RelaysFile: "/r", OnFail: "logger x", Once: true, LogJSON: true, Verbose: true}
	want.Opts.NoReports, want.Opts.WarnAfter = true, 4*time.Hour
	want.Relay = relayfile.Settings{User: "u", Password: "p", Auth: "plain", TLS: "tls", CA: "/ca", Cert: "/cert", Key: "/key", Pin: pinOfNothing}
	want.Opts.SMTPAddr, want.Opts.Rate = "a:25,b:26", spoolgore.Rate{{N: 14, Per: time.Second}, {N: 600, Per: time.Minute}}
	want.Opts.SMTP = spoolgore.SMTP{NoPipelining: true, NoChunking: true, Window: 8}
	want.Opts.Freq, want.Opts.Attempts, want.Opts.StatusFile = 5*time.Second, 7, "/j"
	want.Opts.SMTPTimeout, want.Opts.MaxAge, want.Opts.Concurrency = 90*time.Second, 48*time.Hour, 300
	want.Opts.LocalName = "me.example.com"
	want.Opts.Trace, want.Opts.ShortAddresses = 9, true
	is.Equal(c.From["freq"], Setting{"freq", "5s", OnCommandLine, "-freq"})
	is.Equal(len(c.From), 30) // the origin of each setting is known
	c.From = nil
	is.Equal(c, want) // every flag reaches the option of its name

	c, err = Parse([]string{"dir"}, noEnv)
	is.NoErr(err)
	is.Equal(len(c.From), 1)
	c.From = nil
	// the package has the other defaults
	is.Equal(c, Config{Dir: "dir", Bounce: true, Opts: spoolgore.Options{SMTPAddr: "127.0.0.1:25", Trace: 10_000}})
}

// pinOfNothing is a valid pin.
const pinOfNothing = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="

// noEnv is an empty environment.
func noEnv(string) string { return "" }

func TestTimes(t *testing.T) {
	for text, want := range map[string]time.Duration{"10": 10 * time.Second, "1": time.Second, "500ms": 500 * time.Millisecond, "2h30m": 150 * time.Minute} {
		t.Run(text, func(t *testing.T) {
			is := is.New(t)
			var s Span
			is.NoErr(s.Set(text))
			is.Equal(time.Duration(s), want) // a number without a unit is seconds, as in 2014
		})
	}
}

func TestTheManPageAndThePageOfTheDaemonHaveEveryFlag(t *testing.T) {
	for page, form := range map[string]string{
		"man/spoolgore.8": `(?m)^\.It .*Fl %s\b`,
		"daemon.md":       "(?m)^\\| .*`-%s\\b.*` \\|",
	} {
		text, err := os.ReadFile("../../docs/" + page)
		if err != nil {
			t.Fatal(err)
		}
		Flags(&Config{}).VisitAll(func(f *flag.Flag) {
			if !regexp.MustCompile(fmt.Sprintf(form, f.Name)).Match(text) {
				t.Errorf("docs/%s does not have -%s", page, f.Name)
			}
		})
	}
}

func TestFlagsFirst(t *testing.T) {
	for args, want := range map[string]string{
		"": "--", "a": "-- a", "a b": "-- a b", "a -n 1 b -v": "-n 1 -v -- a b", "-v a -- -n b": "-v -- a -n b", "-": "-- -", "- -v": "-v -- -",
		"a -x b": "-x b", "-n": "-n", "-v a -n x": "-v -n x",
	} {
		t.Run(args, func(t *testing.T) {
			is := is.New(t)
			fs := NewFlagSet("")
			fs.Int("n", 0, "")
			fs.Bool("v", false, "")
			is.Equal(strings.Join(flagsFirst(fs, strings.Fields(args)), " "), want)
		})
	}
}
