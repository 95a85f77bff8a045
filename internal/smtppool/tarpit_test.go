package smtppool

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/matryer/is"

	"github.com/unbit/spoolgore/internal/smtpclient"
)

// A relay with many silent hosts takes at most five connections of one search, and a bounded time.
func TestSearchAmongSilentHostsEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := is.New(t)
		const timeout = 2 * time.Second
		var z zone
		for i := range 20 {
			z.mx = append(z.mx, &net.MX{Host: fmt.Sprintf("tarpit%d.test.", i)})
		}
		var dials atomic.Int64
		dial := func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			silent, _ := net.Pipe()
			return silent, nil
		}
		r, err := New(Options{Addr: "mx:example.com", Dial: dial, Resolver: z, Concurrency: 1,
			Client: smtpclient.Config{LocalName: "me.example.com", Timeout: timeout}})
		is.NoErr(err)
		began := time.Now()
		_, failed := r.connector.connect(t.Context(), func() {})
		is.True(failed != nil)
		is.True(dials.Load() <= maxEndpoints)
		is.True(time.Since(began) <= 3*timeout+stagger*maxEndpoints)
	})
}
