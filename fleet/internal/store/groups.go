package store

import (
	"context"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"
)

// Group is a number of messages with the same kind of reason, or with the same domain of the first recipient.
type Group struct {
	Name  string
	Count int
}

// Groups are the largest groups of messages to be sent.
type Groups struct {
	Reasons   []Group
	Domains   []Group
	Estimated bool // the counts of Domains are estimates
}

// Limits of a count by domain.
const (
	mostRead    = 20_000 // messages to be sent up to which all are counted; of more, about as many are looked at
	leastSample = 20     // messages of a domain in a sample: the share of a smaller domain is not known
)

// Groups returns the n largest groups of each kind. sums are those of Sums.
func (s *Store) Groups(ctx context.Context, n int, sums []Sum) (g Groups, err error) {
	if g.Reasons, err = Reasons(ctx, s, n); err != nil {
		return g, err
	}
	sql, times := byDomain(n, sums, mostRead)
	if g.Domains, err = groupsOf(ctx, s, sql); times > 1 {
		g.Estimated = true
		for i := range g.Domains {
			g.Domains[i].Count = rounded(float64(g.Domains[i].Count) * times)
		}
	}
	return g, err
}

// byDomain returns the statement that counts one in times messages to be sent by domain. A sample is the same pages of
// the table each time, so that counts that are shown again change little.
func byDomain(n int, sums []Sum, most int) (sql string, times float64) {
	all, queued := 0, 0
	for _, x := range sums {
		if all += x.Count; x.State <= LeasedOut {
			queued += x.Count
		}
	}
	times = 1
	least := 1
	const state = "SELECT envelope FROM spoolgore.message WHERE state = " // an index has each state
	from := state + "0 UNION ALL " + state + "1 UNION ALL " + state + "2"
	if queued > most {
		times, least = float64(all)/float64(most), leastSample
		from = fmt.Sprintf(`SELECT envelope FROM spoolgore.message TABLESAMPLE SYSTEM (%g) REPEATABLE (1)
			WHERE state IN (0, 1, 2)`, 100/times)
	}
	return fmt.Sprintf(`SELECT %s, count(*)::int FROM (%s) m GROUP BY 1 HAVING count(*) >= %d
		ORDER BY 2 DESC, 1 LIMIT %d`, domain, from, least, n), times
}

// rounded returns x with two digits that count.
func rounded(x float64) int {
	unit := 1.0
	for x/unit >= 100 {
		unit *= 10
	}
	return int(math.Round(x/unit) * unit)
}

// Reasons returns the most frequent kinds of reasons of messages to be sent. The schema keeps the counts.
func Reasons(ctx context.Context, s *Store, n int) ([]Group, error) {
	return groupsOf(ctx, s, fmt.Sprintf(`SELECT kind, sum(n)::int FROM (SELECT kind, n FROM spoolgore.reason
		UNION ALL SELECT kind, n FROM spoolgore.reason_change) r GROUP BY kind HAVING sum(n) > 0
		ORDER BY 2 DESC, 1 LIMIT %d`, n))
}

func groupsOf(ctx context.Context, s *Store, sql string) ([]Group, error) {
	rows, err := s.pool.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Group])
}
