package rewrite

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/message"
)

func newRules(t *testing.T, s Settings) *Rules {
	t.Helper()
	r, err := New(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEnvelope(t *testing.T) {
	senders := []Pair{
		{"www-data@*", "app@example.com"}, {"@web1.local", "@example.com"}, {"@*.lan", "lan@example.com"},
		{"ann@web1.local", "ann.b@example.org"}, {"@bücher.example", "@books.example"},
		{`"o'neil b"@web1.local`, "oneil@example.com"},
	}
	for name, row := range map[string]struct {
		s          Settings
		from, want string
	}{
		"no settings":                  {Settings{}, "a@x.local", "a@x.local"},
		"sender":                       {Settings{Sender: "app@example.com"}, "a@x.local", "app@example.com"},
		"sender leaves null sender":    {Settings{Sender: "app@example.com", Senders: senders}, "", ""},
		"from is the envelope, too":    {Settings{From: "app@example.com"}, "a@x.local", "app@example.com"},
		"sender counts before from":    {Settings{Sender: "bounce@example.com", From: "app@example.com"}, "a@x", "bounce@example.com"},
		"local part in any domain":     {Settings{Senders: senders}, "www-data@web9.other", "app@example.com"},
		"local part before domain":     {Settings{Senders: senders}, "www-data@web1.local", "app@example.com"},
		"address before local part":    {Settings{Senders: append(senders, Pair{"www-data@web2", "w2@example.com"})}, "www-data@web2", "w2@example.com"},
		"domain":                       {Settings{Senders: senders}, "Bob@Web1.LOCAL", "Bob@example.com"},
		"address before domain":        {Settings{Senders: senders}, "Ann@WEB1.local", "ann.b@example.org"},
		"quoted local part":            {Settings{Senders: senders}, `"o'neil b"@web1.local`, "oneil@example.com"},
		"quoted, as it need not be":    {Settings{Senders: senders}, `"ann"@web1.local`, "ann.b@example.org"},
		"quotes stay":                  {Settings{Senders: senders}, `"a b"@web1.local`, `"a b"@example.com`},
		"no subdomain":                 {Settings{Senders: senders}, "a@sub.web1.local", "a@sub.web1.local"},
		"subdomain":                    {Settings{Senders: senders}, "a@b.c.lan", "lan@example.com"},
		"not the domain itself":        {Settings{Senders: senders}, "a@lan", "a@lan"},
		"domain in ASCII":              {Settings{Senders: senders}, "a@xn--bcher-kva.example", "a@books.example"},
		"domain in Unicode":            {Settings{Senders: senders}, "jörg@Bücher.example", "jörg@books.example"},
		"table before sender":          {Settings{Sender: "app@example.com", Senders: senders}, "bob@web1.local", "bob@example.com"},
		"sender where table is silent": {Settings{Sender: "app@example.com", Senders: senders}, "bob@other", "app@example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(newRules(t, row.s).Envelope(row.from), row.want)
		})
	}
}

func TestRelayCountsBeforeAllOthers(t *testing.T) {
	is := is.New(t)
	r := newRules(t, Settings{Sender: "all@example.com", Senders: []Pair{{"@web1.local", "@example.com"}}, Redirect: "qa@example.com"})
	relay, err := r.With("relay@example.net", "")
	is.NoErr(err)
	is.Equal(relay.Envelope("bob@web1.local"), "relay@example.net")
	is.Equal(relay.Envelope(""), "") // the null sender is unchanged
	is.Equal(relay.Redirect(), "qa@example.com")
	is.True(strings.Contains(sent(relay, "From: bob@web1.local\n\n", nil), "From: bob@example.com\r\n"))
	relay, err = r.With("", "relay@example.net")
	is.NoErr(err)
	is.Equal(relay.Envelope("bob@web1.local"), "relay@example.net")
	is.True(strings.Contains(sent(relay, "From: bob@web1.local\n\n", nil), "From: relay@example.net\r\n"))
	alone, err := (*Rules)(nil).With("", "relay@example.net")
	is.NoErr(err)
	is.Equal(alone.Envelope("a@b"), "relay@example.net")
	none, err := (*Rules)(nil).With("", "")
	is.NoErr(err)
	is.Equal(none, nil)
	_, err = r.With("nonsense", "")
	is.True(err != nil)
}

func TestSettingsThatAreRefused(t *testing.T) {
	for name, s := range map[string]Settings{
		"sender without domain":      {Sender: "app"},
		"sender with a name":         {Sender: "App <app@example.com>"},
		"null sender":                {Sender: "<>"},
		"from is a domain":           {From: "@example.com"},
		"redirect to a list":         {Redirect: "a@x,b@x"},
		"pattern without @":          {Senders: []Pair{{"www-data", "a@x"}}},
		"pattern with half a *":      {Senders: []Pair{{"www-*@x", "a@x"}}},
		"pattern with * in a domain": {Senders: []Pair{{"a@web*.x", "a@x"}}},
		"pattern twice":              {Senders: []Pair{{"a@X", "a@x"}, {"A@x", "b@x"}}},
		"pattern twice in two forms": {Senders: []Pair{{"@bücher.example", "a@x"}, {"@xn--bcher-kva.example", "b@x"}}},
		"target with *":              {Senders: []Pair{{"@x", "@*"}}},
		"target that is a name":      {Senders: []Pair{{"@x", "app"}}},
		"allow without @":            {Allow: []string{"corp.example"}},
		"copy to no address":         {Copies: []Pair{{"*", "archive"}}},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			r, err := New(s)
			is.True(err != nil)
			is.Equal(r, nil)
		})
	}
}

// sent returns the header of a message as sent, or "unchanged" if it is that of the file.
func sent(r *Rules, text string, to []string) string {
	h, err := message.ReadHeader(strings.NewReader(text), int64(len(text)))
	if err != nil {
		return err.Error()
	}
	w := r.Header(h, to)
	if w == nil {
		return "unchanged"
	}
	var b strings.Builder
	for _, f := range w.Fields {
		b.Write(f)
	}
	if w.Signed != "" {
		return b.String() + "signed by " + w.Signed
	}
	return b.String()
}

func TestFrom(t *testing.T) {
	const reply = "Reply-To: www@web1.local\r\n"
	for name, row := range map[string]struct{ header, want string }{
		"bare":               {"From: www@web1.local\n", "From: app@example.com\r\n" + reply},
		"name stays":         {"From: Web Shop <www@web1.local>\n", "From: Web Shop <app@example.com>\r\n" + reply},
		"quoted name":        {"From: \"Shop, Web\" <www@web1.local>\n", "From: \"Shop, Web\" <app@example.com>\r\n" + reply},
		"encoded word":       {"From: =?utf-8?q?J=C3=B6rg=2C_x?= <www@web1.local>\n", "From: =?utf-8?q?J=C3=B6rg=2C_x?= <app@example.com>\r\n" + reply},
		"8-bit name":         {"From: J\xf6rg <www@web1.local>\n", "From: J\xf6rg <app@example.com>\r\n" + reply},
		"UTF-8 name":         {"From: Jörg <www@web1.local>\n", "From: Jörg <app@example.com>\r\n" + reply},
		"name in a comment":  {"From: www@web1.local (Web Shop)\n", "From: app@example.com (Web Shop)\r\n" + reply},
		"folded":             {"From: \"Web\n Shop\"\n\t<www@web1.local>\n", "From: \"Web\r\n Shop\"\r\n\t<app@example.com>\r\n" + reply},
		"folded at once":     {"From:\n www@web1.local\n", "From: app@example.com\r\n" + reply},
		"name of the field":  {"FROM : <www@web1.local>\n", "FROM: <app@example.com>\r\n" + reply},
		"double brackets":    {"From: Shop <<www@web1.local>>\n", "From: Shop <app@example.com>\r\n" + reply},
		"local name":         {"From: root\n", "From: app@example.com\r\n"},
		"local name, named":  {"From: Cron Daemon <root>\n", "From: Cron Daemon <app@example.com>\r\n"},
		"empty":              {"From:\n", "From: app@example.com\r\n"},
		"missing":            {"Subject: x\n", "Subject: x\r\nFrom: app@example.com\r\n"},
		"no header":          {"", "From: app@example.com\r\n"},
		"several":            {"From: A <a@x.local>, b@x.local\n", "From: A <app@example.com>\r\nReply-To: a@x.local, b@x.local\r\n"},
		"several, one is it": {"From: A <a@x.local>, app@example.com\n", "From: A <app@example.com>\r\nReply-To: a@x.local\r\n"},
		"one twice":          {"From: a@x.local, a@X.local\n", "From: app@example.com\r\nReply-To: a@x.local\r\n"},
		"two fields":         {"From: a@x.local\nTo: c@y\nFrom: b@x.local\n", "From: app@example.com\r\nReply-To: a@x.local, b@x.local\r\nTo: c@y\r\n"},
		"group":              {"From: Team: Ann <a@x.local>, b@x.local;\n", "From: Ann <app@example.com>\r\nReply-To: a@x.local, b@x.local\r\n"},
		"empty group":        {"From: undisclosed:;\n", "From: app@example.com\r\n"},
		"Reply-To is there":  {"From: www@web1.local\nReply-To: Help <help@x>\n", "From: app@example.com\r\nReply-To: Help <help@x>\r\n"},
		"Sender is left out": {"Sender: root@web1.local\nFrom: www@web1.local\n", "From: app@example.com\r\n" + reply},
		"is it already":      {"From: App <app@EXAMPLE.com>\nSubject: x\n", "unchanged"},
		"Bcc is not sent":    {"Bcc: c@x\nFrom: www@web1.local\n", "From: app@example.com\r\n" + reply},
		"quoted local part":  {"From: \"a b\"@x.local\n", "From: app@example.com\r\nReply-To: \"a b\"@x.local\r\n"},
		"domain in Unicode":  {"From: Ü <ü@bücher.example>\n", "From: Ü <app@example.com>\r\nReply-To: ü@bücher.example\r\n"},
		"signed by another":  {"DKIM-Signature: v=1; d=esp.example; s=a; b=x\nFrom: www@web1.local\n", "DKIM-Signature: v=1; d=esp.example; s=a; b=x\r\nFrom: app@example.com\r\n" + reply},
		"signed":             {"DKIM-Signature: v=1; a=rsa; d=web1.local; b=x\nFrom: www@web1.local\n", "DKIM-Signature: v=1; a=rsa; d=web1.local; b=x\r\nFrom: www@web1.local\r\nsigned by web1.local"},
		"signed by parent":   {"DKIM-Signature: d = LOCAL ;b=x\nFrom: www@web1.local\n", "DKIM-Signature: d = LOCAL ;b=x\r\nFrom: www@web1.local\r\nsigned by local"},
		"signed by child":    {"DKIM-Signature: d=a.web1.local; b=x\nFrom: www@web1.local\n", "DKIM-Signature: d=a.web1.local; b=x\r\nFrom: app@example.com\r\n" + reply},
		"not by a suffix":    {"DKIM-Signature: d=b1.local; b=x\nFrom: www@web1.local\n", "DKIM-Signature: d=b1.local; b=x\r\nFrom: app@example.com\r\n" + reply},
		"signature, folded":  {"DKIM-Signature: v=1; d=web1.\n local; b=x\nFrom: www@web1.local\n", "DKIM-Signature: v=1; d=web1.\r\n local; b=x\r\nFrom: www@web1.local\r\nsigned by web1.local"},
		"second signature":   {"DKIM-Signature: d=esp.example\nDKIM-Signature: d=xn--bcher-kva.example\nFrom: a@BÜCHER.example\n", "DKIM-Signature: d=esp.example\r\nDKIM-Signature: d=xn--bcher-kva.example\r\nFrom: a@BÜCHER.example\r\nsigned by xn--bcher-kva.example"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(sent(newRules(t, Settings{From: "app@example.com"}), row.header+"\nbody\n", nil), row.want)
		})
	}
}

// A header made to be slow: the time must grow with the number of authors and signatures, not with its square.
func TestManyAuthorsAreReadInTime(t *testing.T) {
	is := is.New(t)
	var from, signatures strings.Builder
	for i := range 40_000 {
		from.WriteString("a" + strconv.Itoa(i) + "@x.local,")
		signatures.WriteString("DKIM-Signature: d=" + strconv.Itoa(i) + ".y\n")
	}
	begin := time.Now()
	got := sent(newRules(t, Settings{From: "app@example.com"}), "From: "+from.String()+"b@x.local\n"+signatures.String()[:400_000]+"\n\n", nil)
	is.True(strings.Contains(got, ", a39999@x.local,"))
	is.True(time.Since(begin) < time.Minute) // a quadratic reader takes many minutes
}

func TestSendersInTheHeader(t *testing.T) {
	r := newRules(t, Settings{Senders: []Pair{{"www-data@*", "app@example.com"}, {"@web1.local", "@example.com"}}})
	for name, row := range map[string]struct{ header, want string }{
		"each field":      {"From: Bob <bob@web1.local>\nSender: www-data@web1.local\nTo: ann@web1.local\n", "From: Bob <bob@example.com>\r\nSender: app@example.com\r\nTo: ann@web1.local\r\n"},
		"each address":    {"From: a@web1.local, B <b@other>,\n \"c, d\" <www-data@other>\n", "From: a@example.com, B <b@other>,\r\n \"c, d\" <app@example.com>\r\n"},
		"no Reply-To":     {"From: www-data@web1.local\n", "From: app@example.com\r\n"},
		"Reply-To":        {"From: x@other\nReply-To: bob@web1.local\n", "From: x@other\r\nReply-To: bob@example.com\r\n"},
		"other addresses": {"From: a@b.example\n", "unchanged"},
		"missing":         {"Subject: x\n", "unchanged"},
		"signed":          {"DKIM-Signature: d=web1.local\nFrom: bob@web1.local\n", "DKIM-Signature: d=web1.local\r\nFrom: bob@web1.local\r\nsigned by web1.local"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(sent(r, row.header+"\nbody\n", nil), row.want)
		})
	}
	is := is.New(t)
	both := newRules(t, Settings{From: "all@example.com", Senders: []Pair{{"@web1.local", "@example.com"}}})
	// the table goes before the other rules
	is.Equal(sent(both, "From: Bob <bob@web1.local>\n\n", nil), "From: Bob <bob@example.com>\r\n")
	is.Equal(sent(both, "From: Bob <bob@x>\n\n", nil), "From: Bob <all@example.com>\r\nReply-To: bob@x\r\n")
}

func TestRedirectAddsOriginals(t *testing.T) {
	is := is.New(t)
	r := newRules(t, Settings{Redirect: "qa@example.com"})
	is.Equal(sent(r, "To: a@x, b@y\n\n", []string{"a@x", `"b c"@y`}), "X-Original-To: a@x\r\nX-Original-To: \"b c\"@y\r\nTo: a@x, b@y\r\n")
	got := sent(r, "To: many\n\n", strings.Split(strings.Repeat("a@x ", 50), " "))
	is.Equal(strings.Count(got, "X-Original-To: "), 20)
	is.True(strings.HasSuffix(got, "To: many\r\n"))
}

func TestAllow(t *testing.T) {
	allow := []string{"@corp.example", "@*.dev.example", "partner@other.example", "@bücher.example"}
	for name, row := range map[string]struct {
		s    Settings
		to   []string
		want string
	}{
		"no list":           {Settings{Sender: "a@x"}, []string{"a@x"}, ""},
		"all allowed":       {Settings{Allow: allow}, []string{"a@CORP.example", "x@a.b.dev.example", "Partner@other.example"}, ""},
		"one is not":        {Settings{Allow: allow}, []string{"a@corp.example", "b@other.example"}, "b@other.example"},
		"subdomain":         {Settings{Allow: allow}, []string{"a@sub.corp.example"}, "a@sub.corp.example"},
		"suffix":            {Settings{Allow: allow}, []string{"a@evilcorp.example"}, "a@evilcorp.example"},
		"domain in quotes":  {Settings{Allow: allow}, []string{`"x@corp.example"@evil.example`}, `"x@corp.example"@evil.example`},
		"domain in ASCII":   {Settings{Allow: allow}, []string{"a@xn--bcher-kva.example"}, ""},
		"redirect, allowed": {Settings{Allow: allow, Redirect: "qa@corp.example"}, []string{"b@other.example"}, ""},
		"redirect, not":     {Settings{Allow: allow, Redirect: "qa@else.example"}, []string{"a@corp.example"}, "qa@else.example"},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			is.Equal(newRules(t, row.s).Forbidden(row.to), row.want)
		})
	}
}

func TestCopy(t *testing.T) {
	is := is.New(t)
	r := newRules(t, Settings{Copies: []Pair{{"*", "archive@example.com"}, {"@shop.example", "shop@example.com"}}})
	is.Equal(r.Copy("a@b"), "archive@example.com")
	is.Equal(r.Copy("a@Shop.example"), "shop@example.com") // the most specific pattern
	is.Equal(r.Copy(""), "")                               // a report is not copied
	is.Equal((*Rules)(nil).Copy("a@b"), "")
}
