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
	Head     []byte  // the first octets of the content; nil: not asked for
}

// Selection chooses messages. The zero value chooses all, in order of their ids.
type Selection struct {
	States    []State // none: all
	After     int64   // id behind which the messages begin
	ID        int64   // of the only message; zero: any
	Text      string  // in sender, recipients, host or reason; empty: any
	Reason    string  // with … for any characters; empty: any
	Domain    string  // of the first recipient; empty: any
	Relay     string  // of an attempt; empty: any
	Newest    bool    // the last id comes first
	Limit     int     // zero: no limit
	Offset    int
	Deferred  bool // also messages that wait after an attempt
	Scheduled bool // also messages that wait for the time of the sender
	Head      bool // read the first octets of contents
}

// headSize is the number of octets of Listed.Head.
const headSize = 64 << 10

// likeEscape escapes text for LIKE.
var likeEscape = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`)

// where returns the conditions of a selection, and their parameters.
func (s Selection) where() (text string, args []any) {
	all := []string{"true"}
	add := func(condition string, arg any) {
		args = append(args, arg)
		all = append(all, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	if len(s.States) > 0 || s.Deferred || s.Scheduled {
		states := make([]int, len(s.States))
		for i, x := range s.States {
			states[i] = int(x)
		}
		some := "m.state = ANY (?::int[])"
		if s.Deferred {
			some += " OR m.state = 1 AND m.record IS NOT NULL"
		}
		if s.Scheduled {
			some += " OR m.state = 1 AND m.record IS NULL"
		}
		add("("+some+")", states)
	}
	if s.After > 0 {
		add("m.id > ?", s.After)
	}
	if s.ID > 0 {
		add("m.id = ?", s.ID)
	}
	if s.Text != "" {
		add(`concat_ws(' ', m.id::text, m.sender, m.host, m.reason, m.envelope->>'to') ILIKE ?`,
			"%"+likeEscape.Replace(s.Text)+"%")
	}
	if s.Reason != "" {
		add(`m.reason LIKE ?`, strings.ReplaceAll(likeEscape.Replace(s.Reason), "…", "%"))
	}
	if s.Domain != "" {
		add(`lower(split_part(m.envelope->'to'->>0, '@', 2)) = ?`, s.Domain)
	}
	if s.Relay != "" {
		add(`strpos(m.record::text, '"Relay": ' || to_json(?::text)::text) > 0`, s.Relay)
	}
	return strings.Join(all, " AND "), args
}

// List returns the messages that q chooses.
func (s *Store) List(ctx context.Context, q Selection) ([]Listed, error) {
	where, args := q.where()
	head, from := "NULL::bytea", "spoolgore.message m"
	if q.Head {
		head = fmt.Sprintf("(SELECT substr(b.data, 1, %d) FROM spoolgore.body b "+
			"WHERE b.message = m.id AND b.n = 0)", headSize)
	}
	order, limit := "m.id", "ALL"
	if q.Newest {
		order = "m.id DESC"
	}
	if q.Limit > 0 {
		limit = fmt.Sprint(q.Limit)
	}
	rows, err := s.pool.Query(ctx, fmt.Sprintf(`SELECT m.id, m.state::int, m.uid, m.host, m.created, m.due, m.size,
		m.reason, m.envelope::text, m.record::text, %s FROM %s WHERE %s ORDER BY %s LIMIT %s OFFSET %d`,
		head, from, where, order, limit, q.Offset), args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Listed])
}

// CountOf returns the number of messages that q chooses, at most most.
func (s *Store) CountOf(ctx context.Context, q Selection, most int) (n int, err error) {
	where, args := q.where()
	err = s.pool.QueryRow(ctx, fmt.Sprintf(`SELECT count(*)::int FROM (
		SELECT FROM spoolgore.message m WHERE %s LIMIT %d) x`, where, most), args...).Scan(&n)
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

// Group is a number of messages with the same reason, or with the same domain of the first recipient.
type Group struct {
	Name  string
	Count int
}

// Groups returns the largest groups of messages that are to be sent: by reason, and by domain.
func (s *Store) Groups(ctx context.Context, n int) (reasons, domains []Group, err error) {
	get := func(what, where string) ([]Group, error) {
		rows, err := s.pool.Query(ctx, fmt.Sprintf(`SELECT %s, count(*)::int FROM spoolgore.message
			WHERE state IN (0, 1, 2) AND %s GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %d`, what, where, n))
		if err != nil {
			return nil, err
		}
		return pgx.CollectRows(rows, pgx.RowToStructByPos[Group])
	}
	if reasons, err = get("reason", "reason <> ''"); err == nil {
		domains, err = get("lower(split_part(envelope->'to'->>0, '@', 2))", "true")
	}
	return reasons, domains, err
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
