//go:build race

package spoolgore

// The race detector makes sync.Pool drop items at random, so that pooled memory counts as allocated.
const poolsLeak = true
