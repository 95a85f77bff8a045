// Package history holds the model test "random histories". Everything else in the package is a test.
//
// A history is a random sequence of operations on a spool: programs drop mail, people rename, hold, edit and delete
// files, signals arrive, the daemon is killed and started again. The daemon and sendmail-spool are the real commands
// and run as processes. The relay of the history refuses, defers, breaks off and is slow by a script, and keeps a
// ledger of what it did for each recipient. After the history everything is released, retried and drained; then
// the ledger, the log and the directory are compared with the model.
//
// The seed of a history decides the operations, their order, their pauses and the script of the relay. What an
// operation meets (the message still waits, is in flight, is gone) depends on timing, so a seed repeats a history as
// far as timing allows.
//
// Operations that meet a known fault (package known) are switched off while the fault is listed.
//
//	go test ./internal/history                                     # a handful of histories
//	SPOOLGORE_LAB=long go test -timeout 1h ./internal/history      # 200 histories
//	SPOOLGORE_LAB=find go test -v -timeout 1h ./internal/history   # known faults too; says what it finds
//	SPOOLGORE_LAB_SEED=7 go test -v ./internal/history             # one history again (with find: of those)
package history
