//go:build linux

package main

import (
	"bytes"
	"math"
	"os"
	"strings"
	"testing"
)

func TestMessageHasTheSizeAskedFor(t *testing.T) {
	for _, size := range []int{200, 4 << 10, 4<<10 + 1, 1 << 20} {
		text := load{size: size}.message(7)
		if len(text) < size || len(text) > size+1 {
			t.Errorf("%d octets, want %d", len(text), size)
		}
		if !bytes.HasSuffix(text, []byte("\n")) || bytes.Contains(text, []byte("\n.")) {
			t.Errorf("a message of %d octets that SMTP would have to change", size)
		}
	}
}

func TestTableShowsMedians(t *testing.T) {
	of := func(n float64) result { return result{{"n", n, 1}, {"unknown", math.NaN(), 0}} }
	var b strings.Builder
	rs := map[string][]result{"a": {of(3), of(1), of(2)}, "c": {of(5), of(4)}}
	if err := printTable(&b, "title", []peer{{name: "a"}, {name: "b"}, {name: "c"}}, rs); err != nil {
		t.Fatal(err)
	}
	want := "\ntitle\n\n| peer | n | unknown |\n|---|---:|---:|\n| a | 2.0 | - |\n| c | 4.0 | - |\n"
	if b.String() != want {
		t.Errorf("printed %q, want %q", b.String(), want)
	}
}

func TestMediansAboveALimitAreAnError(t *testing.T) {
	of := func(n float64) result { return result{{"n", n, 1}, {"other", 100, 0}} }
	s := scenario{name: "s", most: map[string]float64{"n": 2}}
	if err := s.judge(map[string][]result{"a": {of(9), of(1), of(2)}}); err != nil {
		t.Errorf("a median at the limit: %v", err)
	}
	err := s.judge(map[string][]result{"a": {of(1), of(2.5), of(3)}})
	if want := "s, a: n 2.5, limit 2"; err == nil || err.Error() != want {
		t.Errorf("a median above the limit: %v, want %s", err, want)
	}
}

func TestFamilyOfAProcess(t *testing.T) {
	all := family(os.Getpid())
	if len(all) == 0 || all[0].pid != os.Getpid() || all[0].parent != os.Getppid() || all[0].rss <= 0 || all[0].pss > all[0].rss {
		t.Errorf("family of this process: %+v", all)
	}
}

func TestScenariosNamePeersThatExist(t *testing.T) {
	for _, s := range scenarios() {
		if _, err := findPeers(s.peers); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
	}
	if _, err := findPeers("postfix:"); err == nil {
		t.Error("a peer with nothing behind its colon is found")
	}
}
