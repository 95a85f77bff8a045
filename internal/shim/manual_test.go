package shim

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// sendmail-spool(8) and docs/sendmail.md have every exit code, and the manual has every signal.
func TestTheManPageHasEveryExitCodeAndSignal(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile("../../docs/" + path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	man, page := read("man/sendmail-spool.8"), read("sendmail.md")
	for _, code := range []int{
		exitOK, exitUsage, exitData, exitCantCreate, exitIO, exitTempFail, exitNoPerm, exitConfig,
	} {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^\.It %d$`, code)).MatchString(man) {
			t.Errorf("sendmail-spool(8) does not have the exit status %d", code)
		}
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^\| (.*, )?%d\b.* \|`, code)).MatchString(page) {
			t.Errorf("docs/sendmail.md does not have the exit code %d", code)
		}
	}
	for _, signal := range []string{"SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGPIPE"} {
		if !strings.Contains(man, signal) {
			t.Errorf("sendmail-spool(8) does not have %s", signal)
		}
	}
}
