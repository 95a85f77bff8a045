// Command put measures Spool.Put on a disk: one goroutine, many goroutines, and PutMany, beside a loop of as many
// goroutines that only write a file and sync it. Exit code 1: a goal is missed.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/unbit/spoolgore"
)

// Goals of the package.
const (
	overOne   = 4.0 // many goroutines, times one
	overFsync = 0.7 // many goroutines, times the loop
)

var (
	dir       = flag.String("dir", "/var/tmp", "`directory` on the disk to measure")
	many      = flag.Int("goroutines", 24, "goroutines of the second and third row")
	length    = flag.Duration("time", 3*time.Second, "`time` of each measurement")
	size      = flag.Int("size", 4<<10, "octets of a message")
	rounds    = flag.Int("rounds", 3, "measurements of each, in turns; the best one counts")
	checkGoal = flag.Bool("check", true, "exit with code 1 if a goal is missed")
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "put:", err)
		os.Exit(1)
	}
}

func run() error {
	base, err := os.MkdirTemp(*dir, "put")
	if err != nil {
		return err
	}
	defer os.RemoveAll(base)
	var one, all, batch, loop float64
	for range *rounds {
		for _, m := range []struct {
			best    *float64
			measure func(string) (float64, error)
		}{{&one, putBy(1)}, {&all, putBy(*many)}, {&batch, putMany}, {&loop, fsyncBy(*many)}} {
			place, err := os.MkdirTemp(base, "round")
			if err != nil {
				return err
			}
			rate, err := m.measure(place)
			if err != nil {
				return err
			}
			*m.best = max(*m.best, rate)
			if err := os.RemoveAll(place); err != nil {
				return err
			}
		}
	}
	fmt.Println("| what | messages/s |\n|---|---|")
	fmt.Printf("| Put, 1 goroutine | %.0f |\n| Put, %d goroutines | %.0f |\n", one, *many, all)
	fmt.Printf("| PutMany, 100 messages a call | %.0f |\n", batch)
	fmt.Printf("| write and fsync only, %d goroutines | %.0f |\n", *many, loop)
	fmt.Printf("\n%d goroutines: %.1f times one (goal %.1f), %.2f times the loop (goal %.1f)\n",
		*many, all/one, overOne, all/loop, overFsync)
	if *checkGoal && (all < overOne*one || all < overFsync*loop) {
		return fmt.Errorf("a goal is missed")
	}
	return nil
}

// count calls do in n goroutines until the time is over, and returns the calls a second.
func count(n int, do func() error) (float64, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	calls, began := 0, time.Now()
	for range n {
		wg.Go(func() {
			for time.Since(began) < *length {
				err := do()
				mu.Lock()
				calls++
				if err != nil {
					failed = err
				}
				stop := failed != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(calls) / time.Since(began).Seconds(), failed
}

func text() []byte {
	head := "Subject: put\r\n\r\n"
	return append([]byte(head), bytes.Repeat([]byte("x"), max(0, *size-len(head)))...)
}

func putBy(n int) func(string) (float64, error) {
	return func(dir string) (float64, error) {
		s, message := spoolgore.New(dir, spoolgore.Options{}), text()
		return count(n, func() error { return s.Send("a@example.com", []string{"b@example.org"}, message) })
	}
}

func putMany(dir string) (float64, error) {
	const batch = 100
	s, message := spoolgore.New(dir, spoolgore.Options{}), text()
	rate, err := count(1, func() error {
		mails := make([]spoolgore.Mail, batch)
		for i := range mails {
			mails[i].From, mails[i].To = "a@example.com", []string{"b@example.org"}
			mails[i].Content = bytes.NewReader(message)
		}
		for _, r := range s.PutMany(context.Background(), mails) {
			if r.Err != nil {
				return r.Err
			}
		}
		return nil
	})
	return rate * batch, err
}

func fsyncBy(n int) func(string) (float64, error) {
	return func(dir string) (float64, error) {
		message := text()
		var mu sync.Mutex
		next := 0
		return count(n, func() error {
			mu.Lock()
			next++
			path := filepath.Join(dir, fmt.Sprint(next))
			mu.Unlock()
			f, err := os.Create(path)
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := f.Write(message); err != nil {
				return err
			}
			return f.Sync()
		})
	}
}
