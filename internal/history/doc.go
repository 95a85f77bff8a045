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
// far as timing allows. A history of the long run has more operations, so SPOOLGORE_LAB=long repeats it, too.
//
//	go test ./internal/history                                     # a handful of histories, the same each time
//	SPOOLGORE_LAB=long go test -timeout 1h ./internal/history      # 200 new histories
//	SPOOLGORE_LAB_SEED=7 go test -run TestHistories -v ./internal/history                     # one of the short run
//	SPOOLGORE_LAB=long SPOOLGORE_LAB_SEED=7 go test -run TestHistories -v ./internal/history  # one of the long run
package history
