package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Listed is a message for people.
type Listed struct {
	ID       int64
	State    State
	UID      string
	Host     string
	Created  time.Time
	Due      *time.Time // of a waiting message; of a held or failed one, since when
	Size     int64
	Reason   string
	Envelope string
	Record   *string // nil: there was no attempt
	Head     []byte  // the first octets of the content; nil: not asked for, or the record has the Message-ID
}

// Selection chooses messages. The zero value chooses all, in order of their ids.
type Selection struct {
	States    []State // none: all
	After     int64   // id behind which the messages begin
	ID        int64   // of the only message; zero: any
	Text      string  // in id, sender, recipients, host or reason; empty: any
	Reason    string  // of the same kind; empty: any
	Domain    string  // of the first recipient; empty: any
	Relay     string  // of the last attempt for a recipient that has not accepted; empty: any
	Newest    bool    // the last id comes first
	Limit     int     // zero: no limit
	Offset    int
	Deferred  bool // also messages that wait after an attempt
	Scheduled bool // also messages that wait for the time of the sender
	Head      bool // read the first octets of contents whose Message-ID the record lacks
}

// headSize is the number of octets of Listed.Head.
const headSize = 64 << 10

// likeEscape escapes text for LIKE.
var likeEscape = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// searched is the text of a message that Selection.Text is looked for in, as the index message_text has it.
const searched = `(m.id::text || ' ' || m.sender || ' ' || m.host || ' ' || m.reason || ' ' || ` +
	`coalesce(m.envelope->>'to', ''))`

// domain is the domain of the first recipient of a message.
const domain = `lower(split_part(m.envelope->'to'->>0, '@', 2))`

// Keys of indexes: the kind of a reason, and the relays of a record, as relays of the schema makes them.
const (
	reasonKey = `spoolgore.kind(m.reason) COLLATE "C"`
	relayKey  = `spoolgore.relays(m.record) COLLATE "C"`
)

// hasRelay is the condition that a message has the relay $$.
const hasRelay = `m.record IS NOT NULL AND jsonb_path_exists(m.record, '$.*[*] ? (@.Relay == $relay &&
	(!(@.Status == 2) || @.GivenUp == true))', jsonb_build_object('relay', $$::text))`

// states returns a condition for each state of a selection. Each condition has literals only, so that the server sees
// which index has the state.
func (s Selection) states() (all []string) {
	for _, x := range s.States {
		all = append(all, fmt.Sprintf("m.state = %d", x))
	}
	if s.Deferred {
		all = append(all, "m.state = 1 AND m.record IS NOT NULL")
	}
	if s.Scheduled {
		all = append(all, scheduled)
	}
	if len(all) == 0 {
		all = []string{"true"}
	}
	return all
}

// where returns the conditions of a selection but those of states, and their parameters.
func (s Selection) where() (text string, args []any) {
	all := []string{"true"}
	add := func(condition string, arg any) {
		args = append(args, arg)
		all = append(all, strings.ReplaceAll(condition, "$$", fmt.Sprintf("$%d", len(args))))
	}
	if s.After > 0 {
		add("m.id > $$", s.After)
	}
	if s.ID > 0 {
		add("m.id = $$", s.ID)
	}
	if s.Text != "" {
		add(searched+" ILIKE $$", "%"+likeEscape.Replace(s.Text)+"%")
	}
	if s.Reason != "" {
		add(`m.reason <> '' AND `+reasonKey+` = spoolgore.kind($$)`, s.Reason)
	}
	if s.Domain != "" {
		add("left("+domain+", 255) = left($$, 255)", s.Domain) // through the index
		add(domain+" = $$", s.Domain)
	}
	if s.Relay != "" {
		add(hasRelay, s.Relay)
	}
	return strings.Join(all, " AND "), args
}

// List returns the messages that q chooses.
func (s *Store) List(ctx context.Context, q Selection) ([]Listed, error) {
	where, args := q.where()
	limit := "ALL"
	if q.Limit > 0 {
		limit = fmt.Sprint(q.Limit)
	}
	return listOf(ctx, s, q, fmt.Sprintf(`((%s)) AND %s ORDER BY %s LIMIT %s OFFSET %d`,
		strings.Join(q.states(), ") OR ("), where, q.order(), limit, q.Offset), args...)
}

// order returns the order of q.
func (s Selection) order() string {
	if s.Newest {
		return "m.id DESC"
	}
	return "m.id"
}

// listOf returns the messages of a condition.
func listOf(ctx context.Context, s *Store, q Selection, where string, args ...any) ([]Listed, error) {
	head := "NULL::bytea"
	if q.Head {
		head = fmt.Sprintf("CASE WHEN m.record->>'MessageID' IS NULL THEN (SELECT substr(b.data, 1, %d) "+
			"FROM spoolgore.body b WHERE b.message = m.id AND b.n = 0) END", headSize)
	}
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`SELECT m.id, m.state::int, m.uid, m.host, m.created, m.due, m.size,
		m.reason, m.envelope::text, m.record::text, %s FROM spoolgore.message m WHERE %s`, head, where), args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Listed])
}

// CountOf returns the number of messages that q chooses, at most most.
func (s *Store) CountOf(ctx context.Context, q Selection, most int) (n int, err error) {
	where, args := q.where()
	err = s.pool.QueryRow(ctx, fmt.Sprintf(`SELECT count(*)::int FROM (
		SELECT FROM spoolgore.message m WHERE ((%s)) AND %s LIMIT %d) x`,
		strings.Join(q.states(), ") OR ("), where, most), args...).Scan(&n)
	return n, err
}

// Count returns the number of messages.
func (s *Store) Count(ctx context.Context) (n int, err error) {
	err = s.pool.QueryRow(ctx, `SELECT count(*)::int FROM spoolgore.message`).Scan(&n)
	return n, err
}

// Sum has the totals of the messages in a state.
type Sum struct {
	State   State
	First   bool // there was no attempt: a message that waits is waiting for the time of its sender
	Count   int
	Bytes   int64
	Oldest  time.Time
	Waiting int // recipients
}

// Sums returns the totals of all states.
func (s *Store) Sums(ctx context.Context) ([]Sum, error) {
	rows, err := s.pool.Query(ctx, `SELECT state::int, record IS NULL, count(*)::int, sum(size)::bigint, min(created),
		sum(rcpts)::int FROM spoolgore.message GROUP BY 1, 2`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Sum])
}

// Outcomes returns the JSON of the outcomes that are remembered, oldest first, up to limit.
func (s *Store) Outcomes(ctx context.Context, limit int) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT entry::text FROM (SELECT id, entry FROM spoolgore.outcome
		ORDER BY id DESC LIMIT $1) o ORDER BY id`, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Pace returns the number of recipients accepted a minute, over the last five minutes.
func (s *Store) Pace(ctx context.Context) (perMinute float64, err error) {
	err = s.pool.QueryRow(ctx, `SELECT coalesce(count(*) * 60 / greatest(60, least(300,
		extract(epoch FROM clock_timestamp() - min(at)))), 0)::float8 FROM spoolgore.outcome
		WHERE at > clock_timestamp() - interval '5 minutes' AND entry->>'Outcome' = 'sent'`).Scan(&perMinute)
	return perMinute, err
}
