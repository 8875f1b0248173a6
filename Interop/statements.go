package main

import (
	"database/sql"
	"fmt"
)

// Prepared statements, and SQL text with more than one statement.
var statementChecks = []check{
	{"prepared statements are used again", func(t *T) {
		conn, done := t.conn("statements.db")
		defer done()
		t.exec(conn, "DROP TABLE IF EXISTS p")
		t.exec(conn, "CREATE TABLE p (id INTEGER PRIMARY KEY, v TEXT)")
		insert, err := conn.PrepareContext(t.context(), "INSERT INTO p (v) VALUES (?)")
		t.must(err)
		for i := 1; i <= 100; i++ {
			result, err := insert.ExecContext(t.context(), fmt.Sprintf("value %d", i))
			t.must(err)
			id, _ := result.LastInsertId()
			equal(t, "last insert id", id, int64(i))
			affected, _ := result.RowsAffected()
			equal(t, "rows affected", affected, int64(1))
		}
		query, err := conn.PrepareContext(t.context(), "SELECT v FROM p WHERE id = ?")
		t.must(err)
		for i := 100; i >= 1; i-- {
			var v string
			t.must(query.QueryRowContext(t.context(), i).Scan(&v))
			equal(t, "row", v, fmt.Sprintf("value %d", i))
		}
		t.must(insert.Close())
		t.must(query.Close())
	}},
	{"many prepared statements at once", func(t *T) {
		conn, done := t.conn("statements.db")
		defer done()
		var statements []*sql.Stmt
		for round := 0; round < 2; round++ {
			for i := 0; i < 200; i++ {
				statement, err := conn.PrepareContext(t.context(), fmt.Sprintf("SELECT ? + %d", i))
				t.must(err)
				statements = append(statements, statement)
			}
			for i, statement := range statements {
				var sum int64
				t.must(statement.QueryRowContext(t.context(), 1000).Scan(&sum))
				equal(t, "sum", sum, int64(1000+i))
			}
			for _, statement := range statements {
				t.must(statement.Close())
			}
			statements = nil
		}
	}},
	{"a prepared statement outlives a change of the schema", func(t *T) {
		conn, done := t.conn("statements.db")
		defer done()
		t.exec(conn, "DROP TABLE IF EXISTS changing")
		t.exec(conn, "CREATE TABLE changing (a)")
		t.exec(conn, "INSERT INTO changing VALUES (1)")
		statement, err := conn.PrepareContext(t.context(), "SELECT * FROM changing")
		t.must(err)
		t.exec(conn, "ALTER TABLE changing ADD COLUMN b DEFAULT 2")
		rows, err := statement.QueryContext(t.context())
		t.must(err)
		columns, err := rows.Columns()
		t.must(err)
		equal(t, "columns", len(columns), 2)
		rows.Close()
		t.must(statement.Close())
	}},
	{"Prepare of nonsense", func(t *T) {
		conn, done := t.conn("statements.db")
		defer done()
		_, err := conn.PrepareContext(t.context(), "SELEKT 1")
		t.fails("syntax", err, 1, "syntax error")
		_, err = conn.PrepareContext(t.context(), "SELECT 1; SELECT 2")
		t.fails("tail", err, 1, "nonempty statement tail")
	}},
	{"several statements in one Exec", func(t *T) {
		db := t.open("statements.db")
		defer db.Close()
		t.exec(db, "DROP TABLE IF EXISTS multi; CREATE TABLE multi (x); INSERT INTO multi VALUES (?); "+
			"INSERT INTO multi VALUES (?), (?); -- done\n", 1, 2, 3)
		equal(t, "sum", t.scalar(db, "SELECT sum(x) FROM multi"), int64(6))
		_, err := db.ExecContext(t.context(), "INSERT INTO multi VALUES (10); INSERT INTO nowhere VALUES (1); "+
			"INSERT INTO multi VALUES (20)")
		t.fails("second of three", err, 1, "no such table: nowhere")
		equal(t, "what came before stays", t.scalar(db, "SELECT sum(x) FROM multi"), int64(16))
	}},
	{"one statement in a query", func(t *T) {
		db := t.open("statements.db")
		defer db.Close()
		equal(t, "blank tail", t.scalar(db, "SELECT 7; -- nothing more"), int64(7))
		_, err := db.QueryContext(t.context(), "SELECT 1; SELECT 2")
		t.fails("tail", err, 1, "nonempty statement tail")
	}},
	{"RETURNING", func(t *T) {
		db := t.open("statements.db")
		defer db.Close()
		t.exec(db, "DROP TABLE IF EXISTS r")
		t.exec(db, "CREATE TABLE r (id INTEGER PRIMARY KEY, v)")
		rows := t.all(db, "INSERT INTO r (v) VALUES (?), (?) RETURNING id, v", 5, 6)
		equal(t, "rows", fmt.Sprint(rows), "[[1 5] [2 6]]")
		// go-dqlite has no way to take the rows of an Exec; they are dropped, the rows stay inserted.
		t.exec(db, "INSERT INTO r (v) VALUES (?) RETURNING id", 7)
		t.exec(db, "UPDATE r SET v = v + 1 RETURNING v")
		equal(t, "sum", t.scalar(db, "SELECT sum(v) FROM r"), int64(21))
	}},
	{"a query that returns nothing", func(t *T) {
		db := t.open("statements.db")
		defer db.Close()
		equal(t, "rows", len(t.all(db, "SELECT 1 WHERE 0")), 0)
	}},
	{"PRAGMA", func(t *T) {
		conn, done := t.conn("statements.db")
		defer done()
		equal(t, "foreign keys are on", t.scalar(conn, "PRAGMA foreign_keys"), int64(1))
		t.exec(conn, "PRAGMA user_version = 42")
		equal(t, "user_version", t.scalar(conn, "PRAGMA user_version"), int64(42))
		equal(t, "journal_mode", t.scalar(conn, "PRAGMA journal_mode"), "wal")
		equal(t, "integrity", t.scalar(conn, "PRAGMA integrity_check"), "ok")
	}},
	{"TEMP tables belong to their connection", func(t *T) {
		first, done := t.conn("statements.db")
		defer done()
		second, done2 := t.conn("statements.db")
		defer done2()
		t.exec(first, "CREATE TEMP TABLE mine (x)")
		t.exec(first, "INSERT INTO mine VALUES (1)")
		equal(t, "count", t.scalar(first, "SELECT count(*) FROM mine"), int64(1))
		_, err := second.QueryContext(t.context(), "SELECT count(*) FROM mine")
		t.fails("the other", err, 1, "no such table")
	}},
}

// conn gives one connection of its own.
func (t *T) conn(name string) (*sql.Conn, func()) {
	db := t.open(name)
	conn, err := db.Conn(t.context())
	t.must(err)
	return conn, func() {
		conn.Close()
		db.Close()
	}
}
