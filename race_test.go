//go:build race

package spoolgore

// Under the race detector a sync.Pool throws away at random, so that what is reused looks as if it was allocated.
const poolsLeak = true
