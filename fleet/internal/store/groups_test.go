package store

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/matryer/is"
)

// readFor returns the number of messages that the server reads for a statement.
func readFor(t *testing.T, s *Store, sql string) float64 {
	t.Helper()
	is := is.New(t)
	var text string
	is.NoErr(s.pool.QueryRow(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+sql).Scan(&text))
	var plans []struct{ Plan node }
	is.NoErr(json.Unmarshal([]byte(text), &plans))
	return plans[0].Plan.touched(t)
}

// TestGroupsOfAFewMessagesAreCounted checks that the counts are exact, and that messages which have failed are not read.
func TestGroupsOfAFewMessagesAreCounted(t *testing.T) {
	is := is.New(t)
	s := open(t)
	const n, failed = 20_000, 19_000
	_, err := s.pool.Exec(t.Context(), queue, n)
	is.NoErr(err)
	check := func() []Sum {
		t.Helper()
		sums, err := s.Sums(t.Context())
		is.NoErr(err)
		g, err := s.Groups(t.Context(), 1000, sums)
		is.NoErr(err)
		want, err := groupsOf(t.Context(), s, `SELECT `+domain+`, count(*)::int FROM spoolgore.message m
			WHERE state IN (0, 1, 2) GROUP BY 1 ORDER BY 2 DESC, 1`)
		is.NoErr(err)
		is.Equal(g.Domains, want)
		is.True(!g.Estimated)
		return sums
	}
	check()
	for _, sql := range []string{`UPDATE spoolgore.message SET state = 4 WHERE id <= $1`,
		`UPDATE spoolgore.message SET state = 2 WHERE id > $1 + 900`} {
		_, err = s.pool.Exec(t.Context(), sql, failed)
		is.NoErr(err)
	}
	_, err = s.pool.Exec(t.Context(), `VACUUM ANALYZE spoolgore.message`)
	is.NoErr(err)
	sql, times := byDomain(80, check(), mostRead)
	is.Equal(times, 1.0)
	is.True(readFor(t, s, sql) <= 2*(n-failed)) // rows, and entries of indexes
}

// TestGroupsOfManyMessagesAreEstimated checks that a count of very many messages reads a part of them, and says of no
// domain more than the part shows.
func TestGroupsOfManyMessagesAreEstimated(t *testing.T) {
	is := is.New(t)
	s := open(t)
	const n, most = 40_000, 2000
	_, err := s.pool.Exec(t.Context(), queue, n)
	is.NoErr(err)
	sums, err := s.Sums(t.Context())
	is.NoErr(err)
	sql, times := byDomain(80, sums, most)
	is.Equal(times, float64(n)/most)
	read := readFor(t, s, sql)
	is.True(read > most/2 && read < most*2) // whole pages of the table
	all, err := groupsOf(t.Context(), s, sql)
	is.NoErr(err)
	is.Equal(len(all), 1) // the others have 1 in 750
	is.Equal(all[0].Name, "common.example.org")
	is.True(math.Abs(float64(all[0].Count)/most-0.33) < 0.1)
	g, err := s.Groups(t.Context(), 80, sums)
	is.NoErr(err)
	is.True(g.Estimated)
	share := float64(g.Domains[0].Count) / n
	is.True(share > 0.28 && share < 0.37)
	is.Equal(g.Domains[0].Count%100, 0)
}

func TestRounded(t *testing.T) {
	is := is.New(t)
	for x, want := range map[float64]int{0: 0, 99.4: 99, 104: 100, 149.9: 150, 333_933: 330_000, 996: 1000} {
		is.Equal(rounded(x), want)
	}
}
