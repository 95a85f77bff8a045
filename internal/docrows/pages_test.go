package docrows

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/matryer/is"
)

// pages returns the text of all Markdown pages, by path in the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, pattern := range []string{"*.md", "docs/*.md", "bench/*.md"} {
		files, err := filepath.Glob("../../" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts[strings.TrimPrefix(file, "../../")] = string(text)
		}
	}
	return texts
}

// prose returns the lines of a page outside of code, tables and headings.
func prose(text string) string {
	var kept []string
	code := false
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "```"):
			code = !code
		case code, strings.HasPrefix(line, "    "), strings.HasPrefix(trimmed, "|"), strings.HasPrefix(trimmed, "#"):
		default:
			kept = append(kept, trimmed)
		}
	}
	return regexp.MustCompile("`[^`]*`").ReplaceAllString(strings.Join(kept, " "), "X")
}

// anchors returns the anchors of the headings of a page, as GitHub makes them.
func anchors(text string) map[string]bool {
	all := make(map[string]bool)
	dropped := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for line := range strings.Lines(text) {
		if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
			title = dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), "")
			all[strings.ReplaceAll(title, " ", "-")] = true
		}
	}
	return all
}

func TestLinksBetweenPages(t *testing.T) {
	texts := pages(t)
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for page, text := range texts {
		for _, match := range link.FindAllStringSubmatch(text, -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, ":") {
				continue // a link to another site
			}
			file := page
			if target != "" {
				file = path.Join(path.Dir(page), target)
			}
			if _, err := os.Stat("../../" + file); err != nil {
				t.Errorf("%s links to %s, which does not exist", page, match[1])
			} else if anchor != "" && !anchors(texts[file])[anchor] {
				t.Errorf("%s links to %s, and %s has no such heading", page, match[1], file)
			}
		}
	}
}

// The limit is on the average number of commas in a sentence, over all pages. A long sentence now and then is allowed.
func TestProseIsPlain(t *testing.T) {
	is := is.New(t)
	const limit = 0.85
	phrases := regexp.MustCompile(`(?i)\b(is told|are told|stands in|read over|whoever|whatever)\b`)
	end := regexp.MustCompile(`[.!?](\s|$)`)
	commas, sentences := 0, 0
	for page, text := range pages(t) {
		if page == "CHANGELOG.md" || path.Dir(page) == "bench" {
			continue
		}
		text = prose(text)
		for _, phrase := range phrases.FindAllString(text, -1) {
			t.Errorf("%s has the phrase %q", page, phrase)
		}
		commas += strings.Count(text, ",")
		sentences += len(end.FindAllString(text, -1))
	}
	is.True(sentences > 500)
	t.Logf("%d commas in %d sentences", commas, sentences)
	is.True(float64(commas) <= limit*float64(sentences))
}
