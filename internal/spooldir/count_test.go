package spooldir

import (
	"fmt"
	"testing"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/fsys"
)

// Giving up 400 messages and making their reports takes at most 0.5 calls of fsync and syncfs for each message, in
// batches of 16 messages or more.
func TestSyncsPerMessageGivenUp(t *testing.T) {
	const messages = 400
	for _, batch := range []int{16, 64, 400} {
		is := is.New(t)
		d := newSpool(t)
		syncs := 0
		real := *opsOf(d)
		opsOf(d).syncFile = func(f fsys.File) error { syncs++; return real.syncFile(f) }
		opsOf(d).syncDir = func(path string) error { syncs++; return real.syncDir(path) }
		opsOf(d).syncAll = func(path string) error {
			syncs++
			if err := real.syncAll(path); err != nil { // other systems have no syncfs
				t.Skip(err)
			}
			return nil
		}
		for from := 0; from < messages; from += batch {
			var failing []*Failing
			var reports []*Putting
			for i := from; i < min(from+batch, messages); i++ {
				name := fmt.Sprint("m", i)
				failing = append(failing, &Failing{Name: name, ID: drop(t, d, name, "text"), Why: []byte("why"), Owed: true})
				reports = append(reports, &Putting{Write: writing("report")})
			}
			d.Failed().Fail(failing)
			d.PutAll(reports)
			for i := range failing {
				is.NoErr(failing[i].Err)
				is.NoErr(reports[i].Err)
				is.NoErr(d.Failed().ReportMade(failing[i].NewName))
			}
			is.NoErr(d.SyncPlaces())
		}
		is.Equal(len(tree(t, d)), 3*messages)
		t.Logf("batches of %d: %d syncs, %.2f for each message", batch, syncs, float64(syncs)/messages)
		is.True(float64(syncs)/messages <= 0.5)
	}
}
