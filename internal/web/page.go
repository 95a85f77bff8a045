package web

import (
	"crypto/sha256"
	_ "embed" // of the page
	"encoding/base64"
	"net/http"
	"strings"
)

//go:embed page.html
var pageText string

// pagePolicy lets the page's own script and style run, by their digests, and nothing else: no code or picture in what it
// shows, no request but to where it came from.
var pagePolicy = "default-src 'none'; script-src " + digest("script") + "; style-src " + digest("style") +
	"; connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// digest is the source expression for the one element of that name in the page.
func digest(element string) string {
	_, rest, _ := strings.Cut(pageText, "<"+element+">")
	text, _, _ := strings.Cut(rest, "</"+element+">")
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// page answers with the page, which has nothing of the spool in it: its script asks for that.
func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(pageText))
}
