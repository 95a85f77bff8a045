package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Paged is a page of messages.
type Paged struct {
	Rows  []Listed
	Total int  // number of chosen messages, as far as counted
	More  bool // there may be more than Total
}

// searchedFirst is the number of messages of a state in which a search looks for the matches of a page before it uses
// the index of texts, and searchedEach the number for each match that the page needs: the index returns all matches,
// and to read and sort very many takes longer.
const (
	searchedFirst = 5000
	searchedEach  = 30
)

// mostMatches bounds the count of matches. Each match is a row of the table to read.
const mostMatches = 1000

// Page returns a page of the messages that q chooses. At most most messages are counted. If a search fills the page
// early, only matches among the first messages are counted.
func (s *Store) Page(ctx context.Context, q Selection, most int) (p Paged, err error) {
	w, err := walkOf(ctx, s, q, most)
	if err != nil {
		return p, err
	}
	var ids []int64
	filled := false
	if !w.ordered {
		need := q.Offset + q.Limit + 1
		first := w
		first.first = searchedFirst + searchedEach*need
		if ids, p.Total, p.More, err = first.read(ctx, s); err != nil {
			return p, err
		}
		filled = !p.More || p.Total >= need
	}
	if !filled {
		if ids, p.Total, p.More, err = w.read(ctx, s); err != nil {
			return p, err
		}
	}
	p.Rows, err = listOf(ctx, s, q, "m.id = ANY ($1) ORDER BY "+q.order(), ids)
	return p, err
}

// walk finds the first messages of a selection.
type walk struct {
	q       Selection
	keys    []string // of the index of relays; empty: no relay is chosen
	most    int      // messages to count
	ordered bool     // an index has the messages in their order
	first   int      // look only at so many messages of each state; zero: at all
}

// walkOf returns the walk of a page.
func walkOf(ctx context.Context, s *Store, q Selection, most int) (w walk, err error) {
	w.q = q
	if w.keys, err = relayKeys(ctx, s, q.Relay); err != nil {
		return w, err
	}
	groups := 0
	for _, name := range []string{q.Reason, q.Domain, q.Relay} {
		if name != "" {
			groups++
		}
	}
	if groups > 0 || q.Text != "" {
		most = min(most, mostMatches)
	}
	w.most = max(q.Offset+q.Limit+1, most)
	w.ordered = q.Text == "" && groups <= 1 && (q.Relay == "" || len(w.keys) > 0 && len(w.keys) <= mostKeys)
	return w, nil
}

// read returns the ids of the page, the number of messages up to most, and whether there may be more.
func (w walk) read(ctx context.Context, s *Store) (ids []int64, total int, more bool, err error) {
	sql, args := w.sql()
	err = planned(ctx, s, w.ordered || w.first > 0, sql, args, func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&ids, &total, &more}, func() error { return nil })
		return err
	})
	return ids, total, more, err
}

// planned runs a statement. With ordered, the server has to read rows in the order of an index. Without statistics of
// partial indexes, the server takes a large group for a small one, and would read and sort the group. Both statements
// are one transaction, the scope of the settings.
func planned(ctx context.Context, s *Store, ordered bool, sql string, args []any, each func(pgx.Rows) error) error {
	b := new(pgx.Batch)
	b.Queue(`SELECT set_config('jit', 'off', true), set_config('enable_sort', $1, true),
		set_config('enable_bitmapscan', $1, true)`, fmt.Sprint(!ordered))
	b.Queue(sql, args...).Query(each)
	return s.pool.SendBatch(ctx, b).Close()
}

// leased is the condition for messages in transactions. Few messages are, so no order of an index is needed.
const leased = "m.state = 2"

// scheduled is the condition for messages that wait without an attempt.
const scheduled = "m.state = 1 AND m.record IS NULL"

// sql returns the statement of read.
func (w walk) sql() (text string, args []any) {
	where, args := w.q.where()
	order := w.q.order()
	var parts, cut []string
	for _, state := range w.q.states() {
		if state == scheduled && w.q.Relay+w.q.Reason != "" {
			continue // there was no attempt
		}
		in := "spoolgore.message m WHERE " + state
		chosen := in + " AND " + where
		switch {
		case state == leased:
			parts = append(parts, w.part(chosen, w.unordered()))
		case w.first > 0:
			first := fmt.Sprintf("(SELECT * FROM %s ORDER BY %s LIMIT %d) m", in, order, w.first)
			parts = append(parts, w.part(first+" WHERE "+where, order))
			more := "(SELECT count(*) > %d FROM (SELECT FROM %s LIMIT %d) x)"
			cut = append(cut, fmt.Sprintf(more, w.first, in, w.first+1))
		case w.ordered && len(w.keys) > 0:
			for _, key := range w.keys {
				args = append(args, key)
				parts = append(parts, w.part(fmt.Sprintf("%s AND %s = $%d", chosen, relayKey, len(args)), order))
			}
		case w.ordered:
			parts = append(parts, w.part(chosen, order))
		case len(w.keys) > 0:
			args = append(args, w.keys)
			chosen += fmt.Sprintf(" AND %s = ANY ($%d)", relayKey, len(args))
			parts = append(parts, w.part(chosen, w.unordered()))
		default:
			parts = append(parts, w.part(chosen, w.unordered()))
		}
	}
	if len(parts) == 0 {
		parts, args = []string{"(SELECT m.id FROM spoolgore.message m WHERE false)"}, nil
	}
	cut = append(cut, fmt.Sprintf("(SELECT count(*) FROM f) > %d", w.most))
	return fmt.Sprintf(`WITH f AS MATERIALIZED (SELECT m.id FROM (%s) m ORDER BY %s LIMIT %d)
		SELECT ARRAY(SELECT m.id FROM f m ORDER BY %s OFFSET %d LIMIT %d), least((SELECT count(*) FROM f), %d)::int,
			%s`,
		strings.Join(parts, " UNION ALL "), order, w.most+1, order, w.q.Offset, w.q.Limit, w.most,
		strings.Join(cut, " OR ")), args
}

// part returns the part of the statement for one state.
func (w walk) part(from, order string) string {
	return fmt.Sprintf("(SELECT m.id FROM %s ORDER BY %s LIMIT %d)", from, order, w.most+1)
}

// unordered is the order of q for rows read through any index, and then sorted.
func (w walk) unordered() string { return strings.Replace(w.q.order(), "m.id", "m.id + 0", 1) }

const (
	mostSets = 500 // sets of relays to look at
	mostKeys = 20  // keys with a part of the statement each
)

// relayKeys returns the keys of the index of relays for messages with a relay: the relay alone, the key for relays too
// long for the index, and the few sets with the relay.
func relayKeys(ctx context.Context, s *Store, relay string) (keys []string, err error) {
	if relay == "" {
		return nil, nil
	}
	var sets []string
	sql := fmt.Sprintf(`WITH RECURSIVE k(state, key) AS (
			SELECT state, E'1\x0b' COLLATE "C" FROM unnest('{0,1,3,4}'::smallint[]) s(state) -- behind single relays
			UNION ALL SELECT k.state, (SELECT %[1]s FROM spoolgore.message m
				WHERE m.record IS NOT NULL AND m.state IN (0, 1, 3, 4) AND m.state = k.state AND %[1]s > k.key
				ORDER BY %[1]s LIMIT 1) FROM k WHERE k.key IS NOT NULL)
		SELECT key FROM k WHERE key > E'1\x0b' LIMIT %[2]d`, relayKey, mostSets)
	err = planned(ctx, s, true, sql, nil, func(rows pgx.Rows) error {
		sets, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil || len(sets) == mostSets {
		return nil, err // the records are looked at
	}
	keys = []string{"1\n" + relay, "+"}
	slices.Sort(sets)
	for _, set := range slices.Compact(sets) {
		if strings.Contains(set+"\n", "\n"+relay+"\n") {
			keys = append(keys, set)
		}
	}
	return keys, nil
}
