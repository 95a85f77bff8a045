//go:build !race

package spoolgore

const poolsLeak = false
