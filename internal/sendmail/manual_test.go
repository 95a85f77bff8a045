package sendmail

import (
	"os"
	"regexp"
	"testing"
)

// sendmail-spool(8) and docs/sendmail.md have every option.
func TestTheManPageHasEveryOption(t *testing.T) {
	const modes = "mpsviP"
	man, err := os.ReadFile("../../docs/man/sendmail-spool.8")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/sendmail.md")
	if err != nil {
		t.Fatal(err)
	}
	var options []string
	for _, flag := range plainFlags + valueFlags + attachedFlags {
		if flag != 'b' { // the values of -b follow below
			options = append(options, string(flag))
		}
	}
	for _, mode := range modes {
		options = append(options, "b"+string(mode))
	}
	for _, option := range options {
		if !regexp.MustCompile(`(?m)^\.(It )?Fl (.* , (Fl )?|.* Fl )?` + option + `( |$)`).Match(man) {
			t.Errorf("sendmail-spool(8) does not have -%s", option)
		}
		if !regexp.MustCompile("[`( ]-" + option + "[` ]").Match(page) {
			t.Errorf("docs/sendmail.md does not have -%s", option)
		}
	}
}
