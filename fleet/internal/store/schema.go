package store

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
)

//go:embed schema.sql
var schema1 string

//go:embed schema2.sql
var schema2 string

//go:embed schema3.sql
var schema3 string

//go:embed schema4.sql
var schema4 string

//go:embed schema5.sql
var schema5 string

//go:embed schema6.sql
var schema6 string

//go:embed schema7.sql
var schema7 string

//go:embed schema8.sql
var schema8 string

//go:embed schema9.sql
var schema9 string

//go:embed schema10.sql
var schema10 string

// Version is the version of the schema.
const Version = 10

// steps are the statements from each version of the schema to the next one. The first step makes the schema.
var steps = [Version]string{
	schema1, schema2, schema3, schema4, schema5, schema6, schema7, schema8, schema9, schema10,
}

// Schema returns the statements from a version of the schema to Version. Version 0 is no schema.
func Schema(from int) (string, error) {
	if from < 0 || from > Version {
		return "", fmt.Errorf("%w: there is no version %d", ErrSchema, from)
	}
	text := ""
	for _, step := range steps[from:] {
		text += step
	}
	return text, nil
}

// Script returns the statements of Schema as one transaction, for psql.
func Script(from int) (string, error) {
	text, err := Schema(from)
	if err != nil || text == "" {
		return "", err
	}
	return "BEGIN;\n" + lockFor(from) + ";\n" + text + "COMMIT;\n", nil
}

// hasSchema reads the catalog as of now. to_regclass may answer as of the beginning of the transaction.
const hasSchema = `SELECT EXISTS (
	SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = 'spoolgore' AND c.relname = 'setting')`

// version returns the version of the schema; 0: there is none.
func version(ctx context.Context, q querier) (at int, err error) {
	var found bool
	err = q.QueryRow(ctx, hasSchema).Scan(&found)
	if err != nil || !found {
		return 0, err
	}
	err = q.QueryRow(ctx, `SELECT value::text::int FROM spoolgore.setting WHERE key = 'schema'`).Scan(&at)
	if err != nil {
		err = fmt.Errorf("read the version of the schema: %w", err)
	}
	return at, err
}

// dropVersion is the last version whose upgrade removes an index, which takes the strongest lock of the table.
const dropVersion = 7

// lockFor returns the statements with which one process at a time upgrades the schema from a version. Every role of the
// database can hold the advisory lock, but before there is a schema no role has a right that matters. The strongest
// lock comes first: a claim that begins between a weaker lock and the strongest one waits for the upgrade, and the
// upgrade for the claim.
func lockFor(version int) string {
	const one = `LOCK TABLE spoolgore.setting IN SHARE ROW EXCLUSIVE MODE`
	switch {
	case version == 0:
		return `SELECT pg_advisory_xact_lock(hashtext('spoolgore.schema'))`
	case version < dropVersion:
		return one + `; LOCK TABLE spoolgore.message IN ACCESS EXCLUSIVE MODE`
	}
	return one
}

// upgrade makes the schema, or brings an older one to Version. Workers of an older version go on.
func (s *Store) upgrade(ctx context.Context) error {
	at, err := version(ctx, s.pool)
	switch {
	case err != nil || at == Version:
		return err
	case at > Version:
		return fmt.Errorf("%w: version %d, and this program has %d", ErrSchema, at, Version)
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockFor(at)); err != nil {
			return err
		}
		at, err := version(ctx, tx) // another process may just have done so
		if err != nil || at >= Version {
			return err
		}
		text, err := Schema(at)
		if err == nil {
			_, err = tx.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("bring the schema from version %d to %d: %w", at, Version, err)
	}
	return nil
}
