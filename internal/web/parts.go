package web

import (
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/textproto"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/charset"

	"github.com/unbit/spoolgore/internal/console"
)

// Limits of the parser. A hostile message must not cost much: a parser without limits takes minutes for a few kilobytes
// of nested parts.
const (
	mostDepth = 8
	mostParts = 200
)

// parts are the parts of a message that people want to see.
type parts struct {
	plain, html strings.Builder // texts, and the text of HTML parts
	files       []attachment
	seen        int
}

// text returns the text of the message: that of HTML parts only if there is no other.
func (p *parts) text() string {
	if strings.TrimSpace(p.plain.String()) != "" {
		return p.plain.String()
	}
	return p.html.String()
}

var errParts = errors.New("the message has more parts than are shown")

// take reads an entity; get returns fields of its header. The error means that there is more text.
func (p *parts) take(get func(name string) string, body io.Reader, depth int) error {
	if p.seen++; p.seen > mostParts || depth > mostDepth {
		return errParts
	}
	kind, params, err := mime.ParseMediaType(get("Content-Type"))
	if err != nil && kind == "" {
		kind = "text/plain" // RFC 2045, section 5.2
	}
	if strings.HasPrefix(kind, "multipart/") && params["boundary"] != "" {
		return p.takeAll(body, params["boundary"], depth)
	}
	how, named, _ := mime.ParseMediaType(get("Content-Disposition"))
	body = decoded(get("Content-Transfer-Encoding"), body)
	if how == "attachment" || kind != "text/plain" && kind != "text/html" {
		name := named["filename"]
		if name == "" {
			name = params["name"]
		}
		size, err := io.Copy(io.Discard, body)
		if len(name) > mostSubject {
			name = strings.ToValidUTF8(name[:mostSubject], "") + "…"
		}
		p.files = append(p.files, attachment{console.Escape(wordDecoded(name)), console.Escape(kind), int(size)})
		return err
	}
	if r, err := charset.NewReaderLabel(params["charset"], body); err == nil && params["charset"] != "" {
		body = r
	}
	if kind == "text/html" {
		return textOf(&p.html, body)
	}
	_, err = io.Copy(&p.plain, body)
	return err
}

// takeAll reads the parts of a multipart entity.
func (p *parts) takeAll(body io.Reader, boundary string, depth int) error {
	r := multipart.NewReader(body, boundary)
	for {
		part, err := r.NextRawPart()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := p.take(textproto.MIMEHeader(part.Header).Get, part, depth+1); errors.Is(err, errParts) {
			return err
		}
	}
}

func decoded(encoding string, body io.Reader) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	}
	return body
}

// wordDecoded returns text with decoded encoded words (RFC 2047), as far as they can be decoded.
func wordDecoded(text string) string {
	d := mime.WordDecoder{CharsetReader: charset.NewReaderLabel}
	if out, err := d.DecodeHeader(text); err == nil {
		return out
	}
	return text
}

// textOf writes the text of HTML, with a line for each block. Links are not followed, and markup is dropped.
func textOf(w *strings.Builder, body io.Reader) error {
	z := html.NewTokenizer(body)
	z.SetMaxBuf(mostText)
	hidden, fresh := false, true // hidden: in an element without text; fresh: at the start of a line
	for {
		switch z.Next() {
		case html.ErrorToken:
			if err := z.Err(); err != io.EOF {
				return err
			}
			return nil
		case html.TextToken:
			if text := string(z.Text()); !hidden {
				fresh = flow(w, text, fresh)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			hidden = isHidden(string(name))
			if !fresh && isBlock(string(name)) {
				w.WriteByte('\n')
				fresh = true
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			hidden = false
			if !fresh && isBlock(string(name)) {
				w.WriteByte('\n')
				fresh = true
			}
		}
	}
}

// flow writes words with single blanks, and reports whether a line has yet to begin.
func flow(w *strings.Builder, text string, fresh bool) bool {
	words := strings.Fields(text)
	if len(words) == 0 {
		if text != "" && !fresh && !strings.HasSuffix(w.String(), " ") {
			w.WriteByte(' ')
		}
		return fresh
	}
	if !fresh && strings.TrimLeft(text, " \t\r\n") != text && !strings.HasSuffix(w.String(), " ") {
		w.WriteByte(' ')
	}
	w.WriteString(strings.Join(words, " "))
	if strings.TrimRight(text, " \t\r\n") != text {
		w.WriteByte(' ')
	}
	return false
}

func isHidden(tag string) bool {
	switch tag {
	case "script", "style", "title", "textarea", "template", "noscript", "iframe", "noembed", "noframes", "xmp":
		return true
	}
	return false
}

func isBlock(tag string) bool {
	switch tag {
	case "p", "div", "br", "hr", "tr", "li", "ul", "ol", "dl", "dt", "dd", "table", "blockquote", "pre",
		"section", "article", "header", "footer", "h1", "h2", "h3", "h4", "h5", "h6":
		return true
	}
	return false
}
