package attempt

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/matryer/is"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		failure   Failure
		fault     Fault
		permanent bool
	}{
		"no connection":                {Failure{Op: OpDial}, Relay, false},
		"5yz greeting":                 {Failure{Op: OpGreeting, Reply: Reply{Code: 554}}, Relay, false},
		"5yz to EHLO":                  {Failure{Op: OpEHLO, Reply: Reply{Code: 550}}, Relay, false},
		"certificate":                  {Failure{Op: OpTLS}, Relay, false},
		"wrong password":               {Failure{Op: OpAuth, Reply: Reply{Code: 535}}, Relay, false},
		"421 to RCPT":                  {Failure{Op: OpRcpt, Reply: Reply{Code: 421}}, Recipient, false},
		"421 to MAIL":                  {Failure{Op: OpMail, Reply: Reply{Code: 421}}, Relay, false},
		"421 to the content":           {Failure{Op: OpEnd, Reply: Reply{Code: 421}}, Message, false},
		"login required at MAIL":       {Failure{Op: OpMail, Reply: Reply{Code: 530}}, Relay, false},
		"mechanism too weak at MAIL":   {Failure{Op: OpMail, Reply: Reply{Code: 534}}, Relay, false},
		"login refused at DATA":        {Failure{Op: OpData, Reply: Reply{Code: 535}}, Relay, false},
		"TLS required at RCPT":         {Failure{Op: OpRcpt, Reply: Reply{Code: 538}}, Relay, false},
		"lost at MAIL":                 {Failure{Op: OpMail}, Relay, false},
		"lost at MAIL, content sent":   {Failure{Op: OpMail, Uncertain: true}, Message, false},
		"unreadable at MAIL":           {Failure{Op: OpMail, Unreadable: true}, Message, false},
		"lost at RCPT":                 {Failure{Op: OpRcpt}, Message, false},
		"lost in the content":          {Failure{Op: OpContent}, Message, false},
		"unreadable":                   {Failure{Op: OpContent, Unreadable: true}, Message, false},
		"4yz to MAIL":                  {Failure{Op: OpMail, Reply: Reply{Code: 451}}, Message, false},
		"5yz to MAIL":                  {Failure{Op: OpMail, Reply: Reply{Code: 550}}, Message, true},
		"4yz to RCPT":                  {Failure{Op: OpRcpt, Reply: Reply{Code: 450}}, Recipient, false},
		"5yz to RCPT":                  {Failure{Op: OpRcpt, Reply: Reply{Code: 550}}, Recipient, true},
		"4yz to DATA":                  {Failure{Op: OpData, Reply: Reply{Code: 451}}, Message, false},
		"5yz to DATA":                  {Failure{Op: OpData, Reply: Reply{Code: 554}}, Message, true},
		"4yz to the content":           {Failure{Op: OpEnd, Reply: Reply{Code: 450}}, Message, false},
		"5yz to the content":           {Failure{Op: OpEnd, Reply: Reply{Code: 550}}, Message, true},
		"too large":                    {Failure{Op: OpSize}, Message, true},
		"no SMTPUTF8":                  {Failure{Op: OpUTF8}, Message, true},
		"no 8BITMIME, signed":          {Failure{Op: OpEightBit}, Message, true},
		"no 8BITMIME, unreadable":      {Failure{Op: OpEightBit, Unreadable: true}, Message, false},
		"too many recipients":          {Failure{Op: OpRcpt, Reply: Reply{Code: 452}, NotTried: true}, None, false},
		"too many recipients, 552":     {Failure{Op: OpRcpt, Reply: Reply{Code: 552}, NotTried: true}, None, false},
		"withdrawn":                    {Failure{Op: OpMail, NotTried: true}, None, false},
		"sender address unsendable":    {Failure{Op: OpMail, Unsendable: true}, Message, true},
		"recipient address unsendable": {Failure{Op: OpRcpt, Unsendable: true}, Recipient, true},
		"unknown step":                 {Failure{}, Message, false},
	} {
		t.Run(name, func(t *testing.T) {
			is := is.New(t)
			tt.failure.LoggedIn = true
			class := tt.failure.Classify()
			is.Equal(class.Fault, tt.fault)         // party at fault
			is.Equal(class.Permanent, tt.permanent) // whether a retry is pointless
		})
	}
}

func TestThrottled(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code     int
		enhanced string
		want     bool
	}{
		{421, "4.3.2", true}, {452, "4.3.2", true}, {432, "", true}, {454, "4.7.0", true}, {454, "", true},
		{421, "4.7.0", false}, {450, "4.7.1", false}, {451, "4.7.66", false}, {421, "", false}, {450, "4.2.1", false}, {452, "4.5.3", false}, {451, "4.3.20", false}, {452, "4.70.1", false},
		{550, "5.7.1", false}, {0, "", false},
	} {
		t.Run(fmt.Sprint(tt.code, " ", tt.enhanced), func(t *testing.T) {
			is := is.New(t)
			is.Equal(Reply{Code: tt.code, Enhanced: tt.enhanced}.Throttled(), tt.want)
		})
	}
}

func TestReplyOnOneLine(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	is.Equal(Reply{}.String(), "")                                      // no reply
	is.Equal(Reply{Code: 250}.String(), "250")                          // only a code
	is.Equal(Reply{Code: 452, Enhanced: "4.5.3"}.String(), "452 4.5.3") // with an enhanced code
	is.Equal(Reply{550, "5.1.1", "no such user"}.String(), "550 5.1.1 no such user")
	is.Equal(Reply{Code: 550, Text: "no"}.String(), "550 no") // only a text
}

func TestFaultText(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	is.Equal(fmt.Sprint(None, Relay, Message, Recipient), "none relay message recipient")
	is.Equal(Fault(4).String(), "Fault(4)")
	is.Equal(Fault(-1).String(), "Fault(-1)")
}

// The queue imports the package, so the package must do no I/O.
func TestImportsNoIO(t *testing.T) {
	t.Parallel()
	is := is.New(t)
	out, err := exec.Command("go", "list", "-f", `{{join .Imports " "}}`, ".").Output()
	is.NoErr(err) // go list works
	is.Equal(strings.TrimSpace(string(out)), "fmt regexp slices strconv strings sync time")
}
