package sendmail

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/matryer/is"
	"github.com/unbit/spoolgore/internal/message"
)

func sender(s string) *string { return &s }

// TestParse has command lines of known programs, and what they mean.
func TestParse(t *testing.T) {
	for args, want := range map[string]Command{
		"a@x":                                   {Operands: []string{"a@x"}},
		"-FCronDaemon -i -B8BITMIME -oem a@x":   {FullName: "CronDaemon", Operands: []string{"a@x"}},         // cron
		"-FCronDaemon -i -odi -oem -oi -t -f u": {FullName: "CronDaemon", Header: true, Sender: sender("u")}, // cronie
		// maildrop
		"-oi -f '' a@x":   {Sender: sender(""), Operands: []string{"a@x"}},
		"-i -f <> -- a@x": {Sender: sender("<>"), Operands: []string{"a@x"}}, // dovecot
		"-f<> a@x":        {Sender: sender("<>"), Operands: []string{"a@x"}}, //
		"-oem -oi -B 8BITMIME -f u@x -N failure,delay -R hdrs -- a@x": {
			Sender: sender("u@x"), Notify: "FAILURE,DELAY", Ret: "HDRS", Operands: []string{"a@x"}}, // mutt
		"-t -i -fX@x":      {Header: true, Sender: sender("X@x")},              // PHP
		"-ti":              {Header: true},                                     //
		"-it -fa@x -f b@x": {Header: true, Sender: sender("b@x")},              // the last one wins
		"-r a@x b@x":       {Sender: sender("a@x"), Operands: []string{"b@x"}}, //
		"-ra@x b@x":        {Sender: sender("a@x"), Operands: []string{"b@x"}}, //
		// a value ends a group of flags
		"-tifa@x":                        {Header: true, Sender: sender("a@x")},
		"-oi -ODeliveryMode=b -O a=b -t": {Header: true}, // RT
		"-h 3 -L tag -X /log -C /cf -p x -A c -Ac -Am -v -U -G -n -m -t": {Header: true, Verbose: true}, //
		"-em -eq -o7 -o8 -o i -oQ/q -d1.2 -d -t":                         {Header: true},                //
		"-O Expire=10m -OPriority=-3 -t":                                 {Header: true, Expire: "10m", Priority: -3},
		"-oexpire=1 -O NOTBEFORE=2030-01-02T03:04:05Z -O Timeout=5 -t":   {Header: true, NotBefore: "2030-01-02T03:04:05Z"},
		"-V id -Nnever -RFULL a@x":                                       {EnvID: "id", Notify: "NEVER", Ret: "FULL", Operands: []string{"a@x"}},
		// an invalid wish for reports is ignored
		"-N perhaps -R half -N x a@x": {Operands: []string{"a@x"}},
		"-N never,delay -V ä a@x":     {Operands: []string{"a@x"}}, //
		"-N delay,delay a@x":          {Operands: []string{"a@x"}}, //
		// flags end at the first operand
		"a@x -t -i": {Operands: []string{"a@x", "-t", "-i"}},
		"-- -t":     {Operands: []string{"-t"}},       //
		"- a@x":     {Operands: []string{"-", "a@x"}}, //
		"-F '' a@x": {Operands: []string{"a@x"}},      //
		"-bm a@x":   {Operands: []string{"a@x"}},      //
		// Symfony
		"-bs": {Mode: SMTP},
		// nmh
		"-bs -odb -oem -om": {Mode: SMTP},
		// Laravel
		"-bs -i":         {Mode: SMTP},
		"-bp":            {Mode: List},                              //
		"-bp -json":      {Mode: List, JSON: true},                  //
		"-bv a@x":        {Mode: Verify, Operands: []string{"a@x"}}, //
		"-bi":            {Mode: Aliases},                           //
		"-I":             {Mode: Aliases},                           //
		"-bP":            {Mode: ShowConfig},                        //
		"-q":             {Mode: Flush},                             //
		"-q15m":          {Mode: Flush},                             //
		"-qRexample.com": {Mode: Flush},                             //
	} {
		t.Run(args, func(t *testing.T) {
			is := is.New(t)
			words := strings.Fields(args)
			for i, w := range words {
				if w == "''" {
					words[i] = ""
				}
			}
			c, err := Parse("/usr/sbin/sendmail", words)
			is.NoErr(err)
			if want.Operands == nil {
				want.Operands = []string{}
			}
			if c.Operands == nil {
				c.Operands = []string{}
			}
			is.Equal(c, want)
		})
	}
}

func TestParseByName(t *testing.T) {
	is := is.New(t)
	c, err := Parse("/usr/bin/mailq", []string{"-Ac"})
	is.NoErr(err)
	is.Equal(c.Mode, List)
	c, err = Parse("newaliases", nil)
	is.NoErr(err)
	is.Equal(c.Mode, Aliases)
	c, err = Parse("sendmail-spool", []string{"-bs"})
	is.NoErr(err)
	is.Equal(c.Mode, SMTP)
}

func TestParseRefuses(t *testing.T) {
	for args, say := range map[string]string{
		"":                      "no recipient",
		"-i":                    "no recipient",
		"-Z a@x":                `unknown flag -'Z'`,
		"-tZ":                   `unknown flag -'Z'`,
		"--help":                `unknown flag -'-'`,
		"-f":                    "-f needs a value",
		"-t -N":                 "-N needs a value",
		"-s Subject a@x":        "unknown flag -'s', which is one of mail(1); write a Subject field",
		"-i -sSubject a@x":      "unknown flag -'s', which is one of mail(1); write a Subject field",
		"-c b@x a@x":            "unknown flag -'c'",
		"-t -x":                 "unknown flag -'x'",
		"-a a@x":                "unknown flag -'a'",
		"-ba a@x":               "-ba is not among",
		"-O Expire=soon a@x":    "-O Expire: ",
		"-OExpire a@x":          "-O Expire: ",
		"-O NotBefore=-5m a@x":  "-O NotBefore: ",
		"-O Priority=first a@x": "-O Priority: ",
		"-bd":                   "this is no server",
		"-bD":                   "this is no server",
		"-bd -q30m":             "this is no server",
		"-q30m -bd":             "this is no server",
		"-bt":                   "-bt is not among",
		"-bh":                   "-bh is not among",
		"-bH":                   "-bH is not among",
		"-t -json":              "-json goes with -bp only",
		"-b\x1b[m -t":           `-b\x1b[m is not among`,
	} {
		t.Run(args, func(t *testing.T) {
			is := is.New(t)
			_, err := Parse("sendmail", strings.Fields(args))
			is.True(errors.Is(err, ErrUsage))           // a usage error
			is.True(strings.Contains(err.Error(), say)) // with the reason
		})
	}
}

// For any arguments: no flag is taken for an operand, and no text after "--" for a flag. An error is one printable
// line. A wish for reports is one that the envelope can hold.
func FuzzParse(f *testing.F) {
	for _, args := range []string{"-ti\n-f\na@x", "-oi\n--\n-t\nb@x", "-FCron Daemon\n-B8BITMIME\nroot", "-q15m", "-bp\n-json", "-N\nnever\n-R\nhdrs\n-V\nid\nx", "-Z\n\x00", "-f\n\n<>"} {
		f.Add(args)
	}
	f.Fuzz(func(t *testing.T, text string) {
		args := strings.Split(text, "\n")
		c, err := Parse("sendmail", args)
		if err != nil {
			if !errors.Is(err, ErrUsage) || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Errorf("%q: error %q", args, err)
			}
			return
		}
		if n := len(c.Operands); !slices.Equal(c.Operands, args[len(args)-n:]) {
			t.Errorf("%q: operands %q are not the last arguments", args, c.Operands)
		}
		if len(c.Operands) > 0 && len(c.Operands[0]) > 1 && c.Operands[0][0] == '-' {
			if before := args[:len(args)-len(c.Operands)]; len(before) == 0 || before[len(before)-1] != "--" {
				t.Errorf("%q: flag %q taken for an operand", args, c.Operands[0])
			}
		}
		env := message.Envelope{To: []string{"a@x"}, Notify: []string{c.Notify}, Ret: c.Ret, EnvID: c.EnvID}
		if _, err := env.AppendLine(nil); err != nil {
			t.Errorf("%q: %v", args, err)
		}
	})
}
