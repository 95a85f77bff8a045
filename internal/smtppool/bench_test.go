package smtppool

import (
	"bytes"
	"testing"

	"github.com/unbit/spoolgore/internal/smtpclient"
	"github.com/unbit/spoolgore/internal/smtptest"
)

// BenchmarkDeliver sends messages of 4 KiB with as many callers as the relay has slots. The figures include the relay.
func BenchmarkDeliver(b *testing.B) {
	for name, ext := range modes {
		b.Run(name, func(b *testing.B) {
			relay := &smtptest.Relay{Ext: ext}
			r, err := New(Options{Addr: relay.Listen(b), Client: smtpclient.Config{LocalName: "me.example.com"}, Concurrency: 4})
			if err != nil {
				b.Fatal(err)
			}
			defer r.Close()
			body := append(bytes.Repeat([]byte("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abc.\r\n"), 64), "\r\n"...)
			b.SetParallelism(8)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					t := &smtpclient.Transaction{From: "a@x.org", To: []string{"b@x.org"}, Size: int64(len(body)), Content: bytes.NewReader(body)}
					if res := offerTo(r, t); res[0].Err != nil {
						b.Error(res[0].Err)
					}
				}
			})
		})
	}
}
