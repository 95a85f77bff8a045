//go:build unix

package execrelay

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/attempt"
)

// scriptOf returns the relay of a script in docs/providers.md, with a fake server as the API.
func scriptOf(t *testing.T, provider string, answer http.HandlerFunc) *Relay {
	t.Helper()
	for _, command := range []string{"curl", "jq"} {
		if _, err := exec.LookPath(command); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			t.Skipf("%s is not installed; .ci/run installs it", command)
		}
	}
	text, err := os.ReadFile("../../docs/providers.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "### "+provider+"\n")
	_, script, _ := strings.Cut(section, "```sh\n#!/bin/sh\n")
	script, _, found := strings.Cut(script, "```")
	if !found {
		t.Fatal("docs/providers.md has no script for " + provider)
	}
	api := httptest.NewServer(answer)
	t.Cleanup(api.Close)
	keys := t.TempDir()
	for file, content := range map[string]string{
		"ses.key": `user = "AKIA:secret"`, "mailgun.key": `user = "api:secret"`, "graph.token": "#!/bin/sh\necho secret",
	} {
		if err := os.WriteFile(filepath.Join(keys, file), []byte(content+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return program(t, "API="+api.URL+"\nKEYS="+keys+"\n"+script)
}

const mime = "From: f@x.org\r\nTo: a@x.org\r\n\r\nh\xc3\xa4llo\r\n"

// Each script hands the message and all recipients of the envelope to the API, and logs in.
func TestScriptsOfProviders(t *testing.T) {
	rows := map[string]struct {
		success  int
		answer   string
		reply    string
		received func(is *is.I, r *http.Request, body string)
	}{
		"Amazon SES": {200, `{"MessageId":"0102-ab"}`, "250 2.0.0 0102-ab", func(is *is.I, r *http.Request, body string) {
			is.True(strings.Contains(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIA/"))
			is.Equal(r.URL.Path, "/v2/email/outbound-emails")
			var request struct {
				FromEmailAddress string
				Destination      struct{ ToAddresses []string }
				Content          struct{ Raw struct{ Data []byte } }
			}
			is.NoErr(json.Unmarshal([]byte(body), &request))
			is.Equal(request.FromEmailAddress, "f@x.org")
			is.Equal(request.Destination.ToAddresses, []string{"a@x.org", "b@x.org"})
			is.Equal(string(request.Content.Raw.Data), mime)
		}},
		"Microsoft Graph": {202, "", "", func(is *is.I, r *http.Request, body string) {
			is.Equal(r.Header.Get("Authorization"), "Bearer secret")
			is.Equal(r.URL.Path, "/users/app@example.com/sendMail")
			message, err := base64.StdEncoding.DecodeString(body)
			is.NoErr(err)
			is.Equal(string(message), "Bcc: a@x.org,\r\n b@x.org\r\n"+mime)
		}},
		"Mailgun": {200, `{"id":"<1@mg>","message":"Queued"}`, "250 2.0.0 <1@mg>", func(is *is.I, r *http.Request, _ string) {
			user, password, _ := r.BasicAuth()
			is.Equal(user+":"+password, "api:secret")
			is.Equal(r.URL.Path, "/v3/example.com/messages.mime")
			is.Equal(r.MultipartForm.Value["to"], []string{"a@x.org", "b@x.org"})
			file, err := r.MultipartForm.File["message"][0].Open()
			is.NoErr(err)
			message, err := io.ReadAll(file)
			is.NoErr(err)
			is.Equal(string(message), mime)
		}},
	}
	for provider, row := range rows {
		t.Run(provider, func(t *testing.T) {
			is := is.New(t)
			r := scriptOf(t, provider, func(w http.ResponseWriter, r *http.Request) {
				var body []byte
				if provider == "Mailgun" {
					is.NoErr(r.ParseMultipartForm(1 << 20))
				} else {
					body, _ = io.ReadAll(r.Body)
				}
				row.received(is, r, string(body))
				w.WriteHeader(row.success)
				_, _ = io.WriteString(w, row.answer)
			})
			for _, o := range r.Deliver(context.Background(), envelope, strings.NewReader(mime)) {
				is.Equal(o.Err, nil)
				is.Equal(o.Reply, row.reply)
			}
		})
	}
}

// A message that the API refuses is given up. Throttling, a wrong key and an error of the server are relay trouble.
func TestRefusalsOfProviders(t *testing.T) {
	refusals := map[string]string{
		"Amazon SES": `{"message":"bad MIME"}`, "Mailgun": `{"message":"bad MIME"}`,
		"Microsoft Graph": `{"error":{"code":"ErrorMimeContentInvalid","message":"bad MIME"}}`,
	}
	for provider, refusal := range refusals {
		t.Run(provider, func(t *testing.T) {
			is := is.New(t)
			code := http.StatusBadRequest
			r := scriptOf(t, provider, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("x-amzn-ErrorType", "BadRequestException")
				if code != http.StatusBadRequest {
					w.Header().Set("x-amzn-ErrorType", "TooManyRequestsException")
				}
				w.WriteHeader(code)
				_, _ = io.WriteString(w, refusal)
			})
			o := r.Deliver(context.Background(), envelope, strings.NewReader(mime))[0]
			is.True(o.Permanent)
			is.Equal(o.Reply, "554 5.6.0 bad MIME")
			for _, code = range []int{401, 403, 429, 500, 503} {
				o := r.Deliver(context.Background(), envelope, strings.NewReader(mime))[0]
				is.Equal(o.Fault, attempt.Relay)
				is.True(!o.Permanent)
			}
		})
	}
}
