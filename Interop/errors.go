package main

import (
	"context"
	"time"
)

// Failures: what they say, and that the connection goes on.
var errorChecks = []check{
	{"constraints, with extended codes", func(t *T) {
		conn, done := t.conn("errors.db")
		defer done()
		t.exec(conn, "DROP TABLE IF EXISTS child; DROP TABLE IF EXISTS parent")
		t.exec(conn, "CREATE TABLE parent (id INTEGER PRIMARY KEY, code TEXT UNIQUE, n INTEGER NOT NULL CHECK (n > 0))")
		t.exec(conn, "CREATE TABLE child (id TEXT PRIMARY KEY, parent INTEGER REFERENCES parent)")
		t.exec(conn, "INSERT INTO parent VALUES (1, 'a', 1)")
		t.exec(conn, "INSERT INTO child VALUES ('x', 1)")
		for _, c := range []struct {
			query string
			code  int
			text  string
		}{
			{"INSERT INTO parent VALUES (2, 'a', 1)", 2067, "UNIQUE constraint failed: parent.code"},
			{"INSERT INTO parent VALUES (1, 'b', 1)", 1555, "UNIQUE constraint failed: parent.id"},
			{"INSERT INTO child VALUES ('x', 1)", 1555, "UNIQUE constraint failed: child.id"},
			{"INSERT INTO parent VALUES (3, 'c', NULL)", 1299, "NOT NULL constraint failed: parent.n"},
			{"INSERT INTO parent VALUES (3, 'c', 0)", 275, "CHECK constraint failed"},
			{"INSERT INTO child VALUES ('y', 99)", 787, "FOREIGN KEY constraint failed"},
			{"DELETE FROM parent WHERE id = 1", 787, "FOREIGN KEY constraint failed"},
		} {
			_, err := conn.ExecContext(t.context(), c.query)
			t.fails(c.query, err, c.code, c.text)
		}
		equal(t, "nothing changed", t.scalar(conn, "SELECT count(*) FROM parent"), int64(1))
	}},
	{"errors of SQL", func(t *T) {
		conn, done := t.conn("errors.db")
		defer done()
		_, err := conn.ExecContext(t.context(), "INSERT INTO nowhere VALUES (1)")
		t.fails("table", err, 1, "no such table: nowhere")
		_, err = conn.QueryContext(t.context(), "SELECT absent")
		t.fails("column", err, 1, "no such column: absent")
		_, err = conn.ExecContext(t.context(), "SELECT 1")
		t.fails("rows of an Exec", err, 1, "rows yielded")
		equal(t, "goes on", t.scalar(conn, "SELECT 1"), int64(1))
	}},
	{"what is refused says why", func(t *T) {
		conn, done := t.conn("errors.db")
		defer done()
		for query, text := range map[string]string{
			"ATTACH 'other.db' AS other":       "ATTACH",
			"PRAGMA journal_mode = DELETE":     "journal_mode",
			"PRAGMA synchronous = OFF":         "synchronous",
			"PRAGMA locking_mode = EXCLUSIVE":  "locking_mode",
			"PRAGMA wal_checkpoint(TRUNCATE)":  "wal_checkpoint",
			"VACUUM INTO '/tmp/interop-no.db'": "",
		} {
			_, err := conn.ExecContext(t.context(), query)
			t.fails(query, err, 23, text)
		}
		equal(t, "goes on", t.scalar(conn, "PRAGMA journal_mode"), "wal")
		t.exec(conn, "VACUUM")
	}},
	{"databases in memory are refused", func(t *T) {
		for _, name := range []string{":memory:", "file:x.db?mode=memory", "../escape.db", "a/b.db", ""} {
			db := t.open(name)
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			if err := db.PingContext(ctx); err == nil {
				t.errorf("%q was opened", name)
			}
			cancel()
			db.Close()
		}
	}},
	{"an empty statement", func(t *T) {
		db := t.open("errors.db")
		defer db.Close()
		// The code is 0, which go-dqlite takes for a broken connection; what counts is that it comes back.
		for _, query := range []string{"", "  ", "-- nothing"} {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			if _, err := db.QueryContext(ctx, query); err == nil {
				t.errorf("%q succeeded", query)
			}
			cancel()
		}
		equal(t, "goes on", t.scalar(db, "SELECT 1"), int64(1))
	}},
	{"a context that is cancelled", func(t *T) {
		db := t.open("errors.db")
		defer db.Close()
		endless := "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c"
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		var count int64
		if err := db.QueryRowContext(ctx, endless).Scan(&count); err == nil {
			t.errorf("an endless query ended")
		}
		if elapsed := time.Since(began); elapsed > 5*time.Second {
			t.errorf("took %v", elapsed)
		}
		equal(t, "goes on", t.scalar(db, "SELECT 1"), int64(1))
	}},
	{"a context that is cancelled in the middle of a result", func(t *T) {
		conn, done := t.conn("errors.db")
		defer done()
		ctx, cancel := context.WithCancel(context.Background())
		rows, err := conn.QueryContext(ctx,
			"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT i, zeroblob(1000) FROM c")
		t.must(err)
		for i := 0; i < 10; i++ {
			if !rows.Next() {
				t.fatalf("ended after %d rows", i)
			}
		}
		cancel()
		for rows.Next() {
		}
		if rows.Err() == nil {
			t.errorf("an endless result ended")
		}
		rows.Close()
	}},
}
