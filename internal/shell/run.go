package shell

import (
	"os/exec"
	"sync"
)

// children are the processes that Start has started and not waited for yet. There is one set, because the operating
// system has one set of children for the whole process.
var children = struct {
	sync.Mutex
	pids map[int]bool
}{pids: make(map[int]bool)}

// Run starts cmd and waits for its end, as cmd.Run does.
func Run(cmd *exec.Cmd) error {
	if err := Start(cmd); err != nil {
		return err
	}
	return Wait(cmd)
}

// Start starts cmd, as cmd.Start does. Orphans never takes the exit status of cmd.
func Start(cmd *exec.Cmd) error {
	children.Lock()
	defer children.Unlock()
	err := cmd.Start()
	if err == nil {
		children.pids[cmd.Process.Pid] = true
	}
	return err
}

// Wait waits for the end of cmd, which Start has started, as cmd.Wait does.
func Wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	children.Lock()
	defer children.Unlock()
	delete(children.pids, cmd.Process.Pid)
	return err
}
