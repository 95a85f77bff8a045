package known

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// childEnv is an environment variable that Child sets for its process.
const childEnv = "SPOOLGORE_TEST_KNOWN_CHILD"

// InChild reports whether this process was started by Child.
func InChild() bool { return os.Getenv(childEnv) != "" }

// Child runs only the current test, again, in another process in which InChild is true. A scenario that may end its
// process uses Child. err is the result of the process, output its whole output.
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
