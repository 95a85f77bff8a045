// Package river compares the fleet with River, a queue of jobs on PostgreSQL, and with a local spool. The package has
// tests only, in a module of its own: no other module needs River.
package river
