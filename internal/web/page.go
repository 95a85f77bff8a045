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

// pagePolicy allows the script and the style of the page by their digests, and no other code, pictures or foreign
// requests.
var pagePolicy = "default-src 'none'; script-src " + digest("script") + "; style-src " + digest("style") +
	"; connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// digest returns the source expression for the only element of that name in the page.
func digest(element string) string {
	_, rest, _ := strings.Cut(pageText, "<"+element+">")
	text, _, _ := strings.Cut(rest, "</"+element+">")
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// page answers with the page. Its script asks for the content.
func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write([]byte(pageText))
}
