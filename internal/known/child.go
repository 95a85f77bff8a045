package known

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// childEnv is set in the process that Child starts.
const childEnv = "SPOOLGORE_TEST_KNOWN_CHILD"

// InChild reports whether this is the process that Child started.
func InChild() bool { return os.Getenv(childEnv) != "" }

// Child runs the same test once more, and no other, in a process of its own, in which InChild is true. It is for
// scenarios that may end the process. The error is that of the process; output is all that it wrote.
func Child(t *testing.T) (output string, err error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var only []string
	for part := range strings.SplitSeq(t.Name(), "/") {
		only = append(only, "^"+regexp.QuoteMeta(part)+"$")
	}
	cmd := exec.Command(self, "-test.run="+strings.Join(only, "/"), "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), childEnv+"=1")
	text, err := cmd.CombinedOutput()
	if err == nil && !strings.Contains(string(text), "--- PASS: "+t.Name()) {
		t.Fatalf("the test did not run in a process of its own:\n%s", text)
	}
	return string(text), err
}
