//go:build linux

package web

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore"
	"github.com/unbit/spoolgore/internal/collector"
)

// need returns the path of a program. Without it the test is skipped, or fails in CI.
func need(t *testing.T, path string, err error) string {
	t.Helper()
	switch {
	case err == nil:
		return path
	case os.Getenv("CI") != "":
		t.Fatal(err)
	}
	t.Skip("not installed, see .ci/full: ", err)
	return ""
}

// TestPageInABrowser runs Chromium with the actions of an operator in testdata/browser.mjs. Screenshots are left in the
// directory SPOOLGORE_SHOTS, if it is set.
func TestPageInABrowser(t *testing.T) {
	node, err := exec.LookPath("node")
	need(t, node, err)
	chromium, err := exec.LookPath("chromium")
	need(t, chromium, err)
	modules, err := filepath.Abs("../../.ci/npm/node_modules")
	if err == nil {
		_, err = os.Stat(filepath.Join(modules, "playwright-core"))
	}
	need(t, modules, err)

	is := is.New(t)
	dir := t.TempDir()
	spool := busySpool(t, dir)
	vital := &fakePulse{started: time.Now().Add(-9 * time.Hour), last: well(), past: aDay(), health: spool.Health}
	vital.last.Relays = []spoolgore.RelayHealth{
		{Name: "mail.example.com:587", Connections: 0, Limit: 10, Trouble: "auth: 535 5.7.8 Error: authentication failed", Since: time.Now().Add(-14 * time.Minute), RestsUntil: time.Now().Add(95 * time.Second)},
		{Name: "backup.example.net:25", Connections: 3, Limit: 20},
		{Name: "smtps://smtp.newsletter.example", Senders: "@news.example.com", Connections: 1, Limit: 4},
	}
	vital.last.InFlight, vital.last.Files = 3, 75
	_, url := serve(t, dir, Options{Version: "v2.1.0", Collector: vital, Flush: spool.Flush})
	empty := t.TempDir()
	run(t, empty, spoolgore.Options{})
	calm := &fakePulse{started: time.Now().Add(-2 * time.Minute), last: well()}
	for _, p := range []*fakePulse{vital, calm} {
		p.last.At = time.Now().Add(time.Hour) // so that the state is recent: the test may take minutes
	}
	calm.last.Counts, calm.last.PerMinute = collector.Counts{}, 0
	_, emptyURL := serve(t, empty, Options{Version: "v2.1.0", Collector: calm, Flush: func() {}})
	secretDir := t.TempDir()
	run(t, secretDir, spoolgore.Options{})
	_, secretURL := serve(t, secretDir, Options{Version: "v2.1.0", Token: "0123456789abcdef", Flush: func() {}})

	shots := os.Getenv("SPOOLGORE_SHOTS")
	if shots == "" {
		shots = t.TempDir()
	}
	cmd := exec.Command(node, "testdata/browser.mjs", chromium, url, emptyURL, secretURL, shots)
	cmd.Env = append(os.Environ(), "SPOOLGORE_MODULES="+modules)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	is.NoErr(err)
	is.True(!exists(dir, "failed", "doomed.eml"))      // the message was deleted
	is.True(!exists(dir, "failed", "doomed.eml.json")) // with its why-file
	is.True(exists(dir, "hold", "held-by-key.eml"))    // the message is held
	is.True(exists(dir, "stays.eml"))                  // no action was taken
	soon(t, "the corrected message is sent", func() bool { return !exists(dir, "failed", "retried.eml") && !exists(dir, "retried.eml") })
}

// busySpool runs a spool with mail of all kinds.
func busySpool(t *testing.T, dir string) *spoolgore.Spool {
	t.Helper()
	for name, text := range map[string]string{
		"doomed.eml":      mail("shop@example.com", "nobody@example.org", "Your order 20261123-778 has been shipped", "It is on its way.\n"),
		"stays.eml":       mail("Accounts <accounts@example.com>", "no.such.person@example.net, later1@example.org", hostile, "<script>window.owned=1</script>\n<b>bold</b> & \"quoted\" \x1b[31mred\x1b[0m \u202ereversed\n"),
		"retried.eml":     mail("hr@example.com", "norbert@example.org", "=?utf-8?q?Einladung_zum_Sommerfest_=E2=98=80?=", "Liebe Kolleginnen und Kollegen,\n\nhello.\n"),
		"held-by-key.eml": mail("alerts@example.com", "later2@example.org", "Disk on db-3 is 91% full", "df says so\n"),
		"junk":            "this is no message at all",
		"attach.eml": "From: billing@example.com\nTo: full@example.org\nSubject: Invoice 2026-1187\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html; charset=utf-8\n\n" +
			"<h1>Invoice</h1><p>Dear <b>Ann</b>,<img src=\"http://tracker.example/pixel.gif\"><script>window.owned=1</script> please find the invoice attached.</p>\n--b\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=\"invoice.pdf\"\nContent-Transfer-Encoding: base64\n\nJVBERi0xLjcK\n--b--\n",
		"long.eml": mail(strings.Repeat("averylonglocalpart", 3)+"@"+strings.Repeat("sub.", 20)+"example.com", "later3@"+strings.Repeat("x", 60)+".example.org", strings.Repeat("Supercalifragilistic", 12), "x\n"),
	} {
		drop(t, dir, name, text)
	}
	for i := range 70 {
		to := fmt.Sprintf("later%d@%s", i, []string{"gmail.example", "outlook.example", "example.org", "uni.example.edu"}[i%7%4])
		if i%9 == 0 {
			to = fmt.Sprintf("full%d@gmail.example, later@gmail.example, cc@example.org", i)
		}
		drop(t, dir, fmt.Sprintf("bulk%03d.eml", i), mail("news@example.com", to, fmt.Sprintf("Newsletter no. %d: what is new in November", 200+i), "hello\n"))
	}
	spool := run(t, dir, spoolgore.Options{})
	soon(t, "every message was tried", func() bool {
		for _, name := range []string{"doomed.eml", "retried.eml"} {
			if !exists(dir, "failed", name) {
				return false
			}
		}
		return !exists(dir, ".spoolgore.js.none") && len(spool.Status()) >= 70
	})
	return spool
}

// aDay returns the figures of a day with one bad hour.
func aDay() (past []collector.Minute) {
	now := time.Now().Truncate(time.Minute)
	files := 40.0
	for i := 24 * 60; i > 0; i-- {
		h := float64(i) / 60
		busy := 140 + 90*math.Sin(h/3) + 40*math.Sin(float64(i)*1.7)
		m := collector.Minute{At: now.Add(-time.Duration(i) * time.Minute)}
		switch {
		case h < 2.6 && h > 1.4:
			m.Deferred = uint64(8 + i%9)
			files += busy / 2
		case h <= 1.4 && files > 60:
			m.Sent, m.Failed = uint64(busy*2.2), uint64(i%17/14)
			files = math.Max(60, files-busy)
		default:
			m.Sent, m.Deferred = uint64(busy), uint64(i%5)
			files = 45 + 20*math.Sin(float64(i)/11)
		}
		m.Files = int(files)
		past = append(past, m)
	}
	return past
}
